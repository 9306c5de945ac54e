# Each target does all of its own set-up.
#
#   make demo    see a scan blocked and a lock-out undone: no root, no risk
#   make test    every test, those of the kernel in private namespaces
#   make build   bin/moonlatch, static
#   make lint    gofmt, go vet, staticcheck, go mod tidy
#   make bench   what it costs, beside what it is compared with (docs/benchmarks.md)
#   make soak    ten minutes under load, or SOAK=1m: memory, and no ban lost
#   make faults  thousands of faults, and whether every promise holds (docs/faults.md)
#   make microbench   the Go benchmarks, with allocations
#   make busy    tests beside four busy processes on one processor: PKG=./engine/guard

GO      ?= go
SOAK    ?= 10m
PKG     ?= ./...
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
STAMP   := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(STAMP).Version=$(VERSION) -X $(STAMP).Revision=$(COMMIT)

.PHONY: build demo test race lint bench soak faults microbench busy clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/moonlatch ./cmd/moonlatch

demo: build
	@.ci/tools nft nmap?
	@bin/moonlatch demo

test:
	@.ci/tools nft ip nmap promtool script iptables ipset ufw chromium conntrack
	$(GO) test ./...

race:
	@.ci/tools nft ip nmap promtool script iptables ipset ufw chromium conntrack gcc
	CGO_ENABLED=1 $(GO) test -race ./...

busy:
	@.ci/tools nft ip nmap promtool script iptables ipset ufw chromium conntrack
	@for i in 1 2 3 4; do taskset -c 0 timeout 30m sh -c 'while :; do :; done' & pids="$$pids $$!"; done; \
		trap 'kill $$pids' EXIT; taskset -c 0 $(GO) test -p 1 -count 2 -timeout 30m $(PKG)

lint:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

RUN_bench = -output bench.json
RUN_soak  = -soak $(SOAK)

bench soak: build
	@.ci/tools nft
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/moonlatch-bench ./cmd/moonlatch-bench
	@bin/moonlatch-bench $(RUN_$@)

faults: build
	@.ci/tools nft unshare
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/moonlatch-faults ./cmd/moonlatch-faults
	@bin/moonlatch-faults

microbench:
	@.ci/tools nft
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin
