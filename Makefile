# 'make help' lists what there is to do.

SHELL   := /bin/sh
LEVEL   ?= 1
BIN     := bin/scale
VERSION ?=
LDFLAGS := $(if $(VERSION),-X github.com/scale-levels/scale/cmd.release=$(VERSION))
# The marks at which tests kill the program are compiled in only for tests.
TESTTAGS := faults

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: build ## Install what is missing, build, and bring the example to LEVEL (default 1)
	@.ci/tools postgresql $(if $(filter-out 1 2,$(LEVEL)),redis)
	$(BIN) up --level $(LEVEL) --yes

.PHONY: down
down: build ## Take the example down; its data is kept
	$(BIN) down --yes

.PHONY: tools
tools: ## Install all that environments can run and that is missing: PostgreSQL, Redis, PgBouncer, versitygw
	@.ci/tools postgresql redis pgbouncer versitygw

.PHONY: build
build: ## Build bin/scale
	go build -ldflags '$(LDFLAGS)' -o $(BIN) .

.PHONY: test
test: ## Install what the tests need, and run them all
	@.ci/tools postgresql redis pgbouncer versitygw trivy django
	go vet -tags $(TESTTAGS) ./...
	PATH="$$PATH:$$(go env GOPATH)/bin" go test -tags $(TESTTAGS) -timeout 70m -parallel 4 ./...

.PHONY: test-race
test-race: ## Run the tests with the race detector (needs a C compiler)
	go test -race -tags $(TESTTAGS) -timeout 70m ./...

.PHONY: soak
soak: ## Travel between levels under load for SOAK (default 10m), and report what it cost
	SCALE_SOAK=$(or $(SOAK),10m) go test -tags $(TESTTAGS) -run TestNothingIsDroppedOnTheWay -count 1 -timeout 24h -v ./cmd

.PHONY: bench
bench: build ## Measure the engine and start-up; docs/performance.md says how to read it
	go test -run '^$$' -bench 'Engine|Parallel' -benchmem -benchtime 5x ./stacks/engine
	go test -run '^$$' -bench Process -benchtime 1x -count 5 ./stacks/engine
	go test -run '^$$' -bench . -benchtime 5x ./cmd

.PHONY: bench-compare
bench-compare: ## The same program through the Automation API and the pulumi command, in one run
	mkdir -p bin/compare/module
	cd bin/compare/module && { [ -f go.mod ] || go mod init compare; }
	cd bin/compare/module && go get github.com/pulumi/pulumi/pkg/v3/cmd/pulumi@v3.250.0 && \
		go build -ldflags '-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.250.0' -o ../pulumi github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
	SCALE_COMPARE=$(CURDIR)/bin/compare go test -run '^$$' -bench Compare -benchtime 1x -timeout 60m ./stacks/engine

.PHONY: lint
lint: ## Run golangci-lint, which must be installed
	golangci-lint run

.PHONY: docs
docs: build ## Write the generated documentation
	$(BIN) docs docs

.PHONY: golden
golden: ## Accept what the golden tests see now
	go test -tags $(TESTTAGS) ./internal/view ./tui/... ./stacks/aws -run "Test[^EF]" -update

.PHONY: cross
cross: ## Build for the other systems
	GOOS=darwin GOARCH=arm64 go build -o /dev/null .
	GOOS=windows GOARCH=amd64 go build -o /dev/null .

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin dist
