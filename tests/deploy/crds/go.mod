// Modules of which only YAML files are read: the definitions of the kinds that are not Kubernetes' own. Nothing is
// built, so `go mod tidy` would empty it; `go get MODULE@VERSION` changes a version.
module telltail/tests/deploy/crds

go 1.26.6

require (
	github.com/argoproj/argo-cd/v3 v3.2.1
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
