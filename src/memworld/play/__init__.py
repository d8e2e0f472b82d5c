"""The browser player: dreams under your keys beside the recorded moments that they come from.

settings.py    what a dream can be set to      keys.py       which keys mean which action
stage.py       a memory that is dreamt in      projection.py its 2-D map
dream.py       one dream, step by step         real.py       the real world beside it
session.py     what one page drives            recorder.py   its videos and episodes
library.py     what can be opened and browsed  sources.py    memories and data sets, by episode and by frame
server.py      the addresses and the socket    safety.py     who may ask, and how much
page/          what the browser shows
"""
