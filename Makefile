# All set-up and every job, in a fresh clone: Python 3.11 or newer with venv and pip is all it needs.
PYTHON ?= python3
BIN := .venv/bin
SYSTEM := supertuxkart-data libegl1 libgl1 libglib2.0-0 minetest xvfb libgl1-mesa-dri chromium

.PHONY: demo test check system worlds paper paper-quick better acting living dreaming recorded bench bench-quick bench-gpu bench-encoder bench-encoders bench-memory bench-cluster bench-shards bench-store bench-player torture fuzz readers clean

demo: .venv/installed  ## the main job: record, train, remember, imagine, evaluate, report
	$(BIN)/memworld demo

# Minetest runs in real time, so that its tests have the machine to themselves.
test: .venv/installed  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --max-worker-restart 0 --ignore tests/worlds/test_minetest.py
	$(BIN)/pytest tests/worlds/test_minetest.py

check: .venv/installed  ## formatter, linter, type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

system:  ## Debian packages of SuperTuxKart and Minetest (docs/worlds.md), and a browser for tests; as root
	apt-get update
	apt-get install --yes --no-install-recommends $(SYSTEM)

worlds: .venv/installed  ## every world from recording to evaluation (about an hour)
	$(BIN)/python benchmarks/worlds.py $(WORLDS)

paper: .venv/installed  ## every experiment of the paper at its full size (about 6 hours; stop and start as you like)
	$(BIN)/memworld paper --full $(PAPER)

paper-quick: .venv/installed  ## the same, tiny: only shows that everything works
	$(BIN)/memworld paper --quick --output runs/paper-quick $(PAPER)

better: .venv/installed  ## the library's own dynamics beside everything else (hours; stop and start as you like)
	$(BIN)/memworld better --full --seed 1 $(BETTER)

acting: .venv/installed  ## act in four worlds by planning, beside everything else (hours; stop and start as you like)
	$(BIN)/python benchmarks/acting.py $(ACTING)

living: .venv/installed  ## live in worlds from random play on (hours; stop and start as you like)
	$(BIN)/python benchmarks/living.py $(LIVING)

dreaming: .venv/installed  ## learn to act in imagination alone (hours; memories that `make acting` has made serve again)
	$(BIN)/python benchmarks/dreaming.py $(DREAMING)

recorded: .venv/installed  ## make the small recordings that tests read
	$(BIN)/python -m tests.recorded.make

bench: .venv/installed runs  ## how fast search and imagination are
	$(BIN)/memworld bench --json runs/bench.json --plot runs/bench.png $(BENCH)

bench-quick: .venv/installed runs  ## the cases that matter most, in a few minutes
	$(BIN)/memworld bench --quick --json runs/bench-quick.json --plot runs/bench-quick.png $(BENCH)

bench-gpu: .venv/installed runs  ## exact search of 10 million rows on a GPU (needs a CUDA build of PyTorch)
	$(BIN)/memworld bench --device cuda --index exact --rows 10000000 --d 128 --json runs/bench-gpu.json $(BENCH)

torture: .venv/installed  ## kill writers to a memory 300 times, and fill its disk
	$(BIN)/python -m benchmarks.torture kills --kills $(or $(KILLS),300)
	$(BIN)/python -m benchmarks.torture disk

fuzz: .venv/installed  ## change files of a memory 10,000 times (half an hour)
	$(BIN)/python -m benchmarks.torture fuzz --mutants $(or $(MUTANTS),10000)

readers: .venv/installed  ## read a memory beside a writer for two minutes, twice
	$(BIN)/python -m benchmarks.torture readers --seconds $(or $(SECONDS),120)

runs:
	mkdir -p $@

bench-encoder: .venv/installed  ## how fast the encoder is
	$(BIN)/python benchmarks/encoder_speed.py

bench-encoders: .venv/installed  ## which latents suit neighbours, at equal training time (after `make better`; 2 hours)
	$(BIN)/python benchmarks/encoders.py runs/better/worlds/supertuxkart-lighthouse/episodes \
	    runs/better/worlds/space_invaders/episodes

bench-memory: .venv/installed  ## peak memory of converting and encoding 100,000 frames
	$(BIN)/python benchmarks/bounded_memory.py

bench-cluster: .venv/installed  ## search with 1 and 2 workers beside one process, and with a worker killed in mid-query
	$(BIN)/python benchmarks/cluster.py

bench-shards: .venv/installed  ## what a row costs a cluster, for the plan in docs/scale.md
	$(BIN)/python benchmarks/shards.py

bench-store: .venv/installed runs  ## how fast a memory takes rows, and how soon it opens (after `make demo`; 10 GB of disk)
	$(BIN)/python benchmarks/store.py --plot runs/opening.png

bench-player: .venv/installed  ## how fast the player is, in a browser and without one (after `make demo` and `make system`)
	$(BIN)/python benchmarks/player.py
	$(BIN)/python benchmarks/player_page.py runs/demo/memory

clean:  ## remove the environment
	rm -rf .venv

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
# Tests plan with its solvers, which need none of the data sets and simulators that it asks for.
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps stable-worldmodel
	touch $@
