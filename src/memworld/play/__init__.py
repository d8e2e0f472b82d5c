"""The browser player: dreams under your keys beside the recorded moments that they come from.

settings.py      what a dream can be set to
keys.py          which keys mean which action
projection.py    a memory's map
stage.py         a memory that is dreamt in, and the models of it
dream.py         one dream, step by step
real.py          the real world beside it
panels.py        what is shown of each
film.py          panels as the pictures of a video
recorder.py      videos and episodes of that
session.py       what one page drives
answers.py       what it shows, as bytes
conversation.py  the messages of one page, and their answers
seen.py          where have I seen this?
pngs.py          frames as PNGs
sources.py       memories and data sets as they are browsed
library.py       all that one server shows
safety.py        who may ask, and how much
worker.py        a thread of a session's own
server.py        the addresses and the socket
serving.py       the program
page/            what the browser shows
"""
