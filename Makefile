# make demo   builds the example pipeline, twice, and shows what happened
# make story  plays what the rules of that pipeline are for: see examples/soundcloud/README.md
# make test   all tests; also without cgo, as the core must work without the SQL engine
# make soak   KILLS (default 1000) builds of random pipelines killed, from SEED on (default 1); then 8 processes build on one store ROUNDS times (default 200) each, under the race detector
#             1,000 random pipelines are built step by step, 60 days of arrivals are played 200 times, and a job writes 100,000 files
# make bench  measures dpb beside ninja, make, b3sum, cp and others, and writes the figures into engine/README.md: some 35 minutes on a quiet machine with 24 GB of memory and 25 GB of disk, with peers.
#             CASES=noop,hash measures these alone (start, load, hash, noop, fingerprint, diff, sandbox, store, restore, scratch, status, sql, stages), SIZES=small (or numbers: SIZES=1000,10000) takes seconds and writes nothing; see cmd/dpb/internal/bench
# make bench-peers  the same, also beside DVC, Snakemake, dbt and SQLMesh, which it installs into PEERS
# make fuzz   every fuzz test for FUZZTIME (default 20s) each
# make lint   gofmt, vet (also of the benchmarks), staticcheck
# make help   this text

GO         ?= go
FUZZTIME   ?= 20s
KILLS      ?= 1000
SEED       ?= 1
ROUNDS     ?= 200
BENCH_DIR  ?= $(firstword $(wildcard /dev/shm) /tmp)
DISK_DIR   ?= /tmp
PEERS      ?= /tmp/dpb-bench-peers
SIZES      ?= full
PUBLISH    ?= engine
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: all help demo story test soak bench bench-peers fuzz lint install clean

all: bin/dpb

.PHONY: bin/dpb
bin/dpb:
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $@ ./cmd/dpb

install:
	$(GO) install -trimpath -ldflags "-X main.version=$(VERSION)" ./cmd/dpb

demo: bin/dpb
	bin/dpb -C examples/soundcloud build //...
	bin/dpb -C examples/soundcloud build //...
	bin/dpb -C examples/soundcloud status

story: bin/dpb
	DPB=$(abspath bin/dpb) examples/soundcloud/story.sh

test:
	$(GO) test -timeout 20m ./...
	CGO_ENABLED=0 $(GO) test -short ./cache/... ./engine/... ./hcl/...

soak:
	$(GO) test ./cmd/dpb -run 'TestSoak$$' -count 1 -v -kills $(KILLS) -seed $(SEED) -timeout 4h
	$(GO) test -race ./cmd/dpb -run 'TestManyProcesses$$' -count 1 -rounds $(ROUNDS) -timeout 4h
	$(GO) test ./engine/run -run 'TestRandom' -count 1 -seeds 1000 -timeout 4h
	$(GO) test ./cmd/dpb -run 'TestArrivals$$' -count 1 -arrivals 200 -timeout 4h
	$(GO) test ./cmd/dpb -run 'TestManyFiles$$' -count 1 -files 100000 -timeout 4h

bench: CASES ?= own
bench-peers: CASES ?= all
bench bench-peers: bin/dpb
	$(GO) build -trimpath -o bin/seed ./cmd/dpb/internal/bench/seed
	$(GO) test -c -o bin/bench ./cmd/dpb/internal/bench
	cmd/dpb/internal/bench/peers.sh $(PEERS) $(if $(filter bench-peers,$@),pypi)
	bin/bench -cases $(CASES) -sizes $(SIZES) -dpb bin/dpb -seed $(abspath bin/seed) -memory $(BENCH_DIR) -disk $(DISK_DIR) -peers $(PEERS) -publish "$(PUBLISH)"

fuzz:
	@for f in $$(grep -rlE '^func Fuzz' --include=*_test.go .); do \
	  for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9]*)\(.*/\1/p' $$f); do \
	    echo "$$f $$t"; $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f) || exit 1; \
	  done; \
	done

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags peer ./...
	$(GO) run $(STATICCHECK) ./...

clean:
	rm -rf bin

help:
	@sed -n 's/^# //p' Makefile
