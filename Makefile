# Every target is listed by `make help`, from the words after its ##.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ROOT     := $(CURDIR)
# The modules that go.work lists, as directories; these stand outside.
MODULES   = $(shell go list -m -f '{{.Dir}}')
OUTSIDE  := bench interop tools
EXAMPLES  = $(patsubst %/main.go,%,$(wildcard examples/*/main.go))
FUZZTIME ?= 10s
TIMEOUT  ?= 15m

# say prints a heading, so that a long log can be found through.
say = @printf '\n== %s\n' "$(1)"

# each runs a command in each of some modules, outside the workspace, and fails
# at the end if one of them did.
each = rc=0; for m in $(1); do echo ".$${m\#$(ROOT)}: $(2)"; (cd "$$m" && GOWORK=off $(2)) || rc=1; done; exit $$rc

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The race run is the last, so that a log ends with the lines of go test.
.PHONY: check
check: fmt vet fix lint tidy alone interop-go bench-smoke examples race ## Everything .ci/run asks for, under 20 minutes on 2 cores

.PHONY: fmt
fmt: ## Formatting: fails and lists the files gofmt would change
	$(call say,gofmt)
	@changed=$$(gofmt -l .); [ -z "$$changed" ] || { echo "run gofmt -w on:"; echo "$$changed"; exit 1; }

.PHONY: vet
vet: ## go vet over the workspace, and over what stands outside it
	$(call say,go vet)
	go vet work
	cd bench && GOWORK=off go vet ./...
	cd interop && GOWORK=off go vet ./...

.PHONY: fix
fix: ## Newer ways to write it: fails with the difference go fix would make
	$(call say,go fix)
	go fix -diff work

.PHONY: lint
lint: ## staticcheck in each module, built from tools/go.mod
	$(call say,staticcheck)
	@$(call each,$(MODULES) $(ROOT)/bench $(ROOT)/interop,go tool -modfile=$(ROOT)/tools/go.mod staticcheck ./...)

.PHONY: tidy
tidy: ## go mod tidy -diff in each module
	$(call say,go mod tidy)
	@$(call each,$(MODULES) $(addprefix $(ROOT)/,$(OUTSIDE)),go mod tidy -diff)

# As a stranger gets it: no workspace, so each module with the versions that it
# names itself. What is compiled is shared with the other runs; tests run anew.
.PHONY: alone
alone: ## Each module's tests once with GOWORK=off
	$(call say,GOWORK=off)
	@$(call each,$(MODULES),go test -timeout $(TIMEOUT) ./...)

.PHONY: interop
interop: interop-go interop-node ## Clients, servers and validators of other makers judge ours

.PHONY: interop-go
interop-go: ## Those of them that need no more than Go
	$(call say,interop)
	cd interop && GOWORK=off go test .

.PHONY: interop-node
interop-node: ## Those of npm: they need Node 20.19 or newer
	$(call say,interop/node)
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "interop-node needs node and npm: Node 20.19 or newer"; exit 1; }
	cd interop/node && npm ci --ignore-scripts --no-audit --no-fund
	cd interop && GOWORK=off go test -count=1 -timeout 5m ./node

.PHONY: bench-smoke
bench-smoke: ## Each benchmark once, to see that it runs
	$(call say,benchmarks: one iteration)
	go test -run '^$$' -bench . -benchtime 1x work | grep -v 'no test files' || exit 1
	cd bench && GOWORK=off go test -run '^$$' -bench . -benchtime 1x ./...

.PHONY: examples
examples: ## Run each example as a user would, with no service and no flags
	$(call say,examples)
	@for e in $(filter-out examples/inventory,$(EXAMPLES)); do echo "go run ./$$e"; go run "./$$e"; done
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		echo "go run ./examples/inventory -once" && go run ./examples/inventory -once -dir "$$dir/inventory"

.PHONY: race
race: ## The whole suite under the race detector, shuffled
	$(call say,go test -race)
	go test -race -shuffle=on -timeout $(TIMEOUT) work

.PHONY: test
test: ## The whole suite, plain
	go test work

.PHONY: sforg
sforg: ## Build bin/sforg: a Salesforce org on a loopback port, for programs in any language
	cd salesforce && GOWORK=off go build -o $(ROOT)/bin/sforg ./cmd/sforg

.PHONY: soak
soak: ## The same tests with larger counts (CROSSTIE_SOAK=1); takes long
	CROSSTIE_SOAK=1 go test -count=1 -timeout 3h work

.PHONY: bench
bench: ## Every benchmark, ours and beside the rivals
	go test -run '^$$' -bench . work
	cd bench && GOWORK=off go test -run '^$$' -bench . ./...

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME each (10s)
	@go test -list '^Fuzz' work | awk '/^Fuzz/ { names[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }' | \
	while read -r pkg name; do \
		echo "fuzz $$pkg $$name"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$pkg"; \
	done

.PHONY: clean
clean: ## Remove what builds and tests left in the tree
	rm -rf bin interop/node/node_modules
	find . -type f \( -name '*.test' -o -name '*.prof' -o -name '*.out' \) -delete
