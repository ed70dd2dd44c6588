# Écluse. `make` builds both programs, `make demo` shows them at work, `make test` tests everything. The other targets are listed by `make help`.

GO       ?= go
VERSION  ?= $(shell git describe --always --dirty --tags 2>/dev/null || echo unknown)
LDFLAGS   = -s -w -X main.version=$(VERSION)
export CGO_ENABLED = 0
FUZZTIME ?= 10s

.DEFAULT_GOAL := build
.PHONY: build demo test proof soak bench stages fuzz lint race vectors clean help needs FORCE

build: bin/ecluse-sender bin/ecluse-receiver ## both programs into bin/

bin/ecluse-%: FORCE
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./$*

demo: build ## a gateway on this machine, from nothing to an imported directory, in a minute
	scripts/demo.sh

needs: ## installs what the tests need, where it may
	scripts/needs.sh

test: needs build ## every package, and both programs in the lab; at most 8 minutes
	scripts/test.sh

proof: needs build ## what takes longer and still belongs in every CI run
	scripts/proof.sh

soak: needs build ## every full count of scripts/counts, one after another
	scripts/soak.sh all

soak-%: needs build ## one full count: soak-matrix, soak-kill ... (scripts/counts), soak-fuzz
	scripts/soak.sh $*

race: ## every package under the race detector
	scripts/race.sh ./...

bench: needs build ## the built programs on a link, beside other tools in the same run; make bench-wire, bench-disk ... are parts of it
	scripts/bench.sh all

bench-%: needs build
	scripts/bench.sh $*

stages: ## what each stage costs by itself, by Go's own benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./protocol/... ./internal/... ./sender/... ./receiver/...

fuzz: ## every fuzz target, FUZZTIME each
	scripts/fuzz.sh $(FUZZTIME)

lint: ## formatting and vet
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "not formatted:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...

vectors: ## writes the protocol's test vectors afresh
	python3 protocol/vectors/generate.py

clean:
	rm -rf bin build

help:
	@sed -n 's/^\([a-z%-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

FORCE:
