{{/* Refuses values that would render and not work, and says what to do. The schema checks types and unknown keys. */}}
{{- define "telltail.validate" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if $ts.enabled -}}
{{- include "telltail.validate.image" (list "worker.tailscale.image.tag" $ts.image.tag) -}}
{{- $release := regexFind "^v?[0-9]+[.][0-9]+[.][0-9]+" $ts.image.tag -}}
{{- if and $release (semverCompare "<1.80.0" $release) -}}
{{- fail (printf "worker.tailscale.image.tag is %s: telltail is tested from v1.80 on" $ts.image.tag) -}}
{{- end -}}
{{- include "telltail.validate.way" $ts -}}
{{- if $ts.agent.enabled }}{{ include "telltail.validate.agent" $ts.agent }}{{ end -}}
{{- if not (and $ts.authSecretName $ts.authSecretKey) -}}
{{- fail "worker.tailscale.authSecretName and authSecretKey name the Secret with the auth key: set both (see deploy/tailnet/secret-template.yaml)" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "telltail.validate.image" -}}
{{- $key := index . 0 -}}{{- $tag := index . 1 -}}
{{- if or (not $tag) (eq $tag "latest") -}}
{{- fail (printf "%s is %q: name a release, such as v1.102.5, so that every pod runs the same version and only you change it" $key $tag) -}}
{{- end -}}
{{- end }}

{{- define "telltail.validate.way" -}}
{{- $ways := "socks5: localhost:1055 (the worker's drivers use tailscaled's SOCKS5 proxy), userspace: false (TUN mode; needs NET_ADMIN) or egress.enabled: true (the Tailscale operator's proxies)" -}}
{{- if .userspace -}}
{{- if and (not .socks5) (not .egress.enabled) -}}
{{- fail (printf "worker.tailscale.userspace is true and names no way for the worker: in userspace mode no other container reaches the tailnet by itself. Under worker.tailscale set %s" $ways) -}}
{{- end -}}
{{- else -}}
{{- if .socks5 -}}
{{- fail "worker.tailscale.socks5 is set and userspace is false: in TUN mode the worker needs no proxy; leave one of the two out" -}}
{{- end -}}
{{- if not (and .tailnet .clusterDNS) -}}
{{- fail "worker.tailscale.userspace is false: in TUN mode the pod asks the tailnet's DNS first and the cluster's second. Set worker.tailscale.tailnet (such as tail1234.ts.net) and worker.tailscale.clusterDNS (kubectl get service -n kube-system kube-dns)" -}}
{{- end -}}
{{- end -}}
{{- if .egress.enabled -}}
{{- if or .socks5 (not .userspace) -}}
{{- fail (printf "worker.tailscale.egress.enabled is true beside another way for the worker: choose one of %s" $ways) -}}
{{- end -}}
{{- if not .tailnet -}}
{{- fail "worker.tailscale.egress.enabled is true: set worker.tailscale.tailnet (such as tail1234.ts.net); the operator wants full names" -}}
{{- end -}}
{{- if not .agent.config.targets -}}
{{- fail "worker.tailscale.egress.enabled is true: each of worker.tailscale.agent.config.targets becomes a Service, and there is none, also with agent.enabled: false" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "telltail.validate.agent" -}}
{{- if .image.tag }}{{ include "telltail.validate.image" (list "worker.tailscale.agent.image.tag" .image.tag) }}{{ end -}}
{{- if not .config.targets -}}
{{- fail "worker.tailscale.agent.config.targets is empty: name what the worker needs, such as postgres://stackeye-db-prd:5432, or set worker.tailscale.agent.enabled to false" -}}
{{- end -}}
{{- with .config.startup_release -}}
{{- if not (regexMatch "^([0-9]{1,2}|10[0-9]|110)s$" .) -}}
{{- fail (printf "worker.tailscale.agent.config.startup_release is %s: write at most 110s, in seconds. The kubelet's startup probe gives up after 120 s and would restart telltail before the gate is released" .) -}}
{{- end -}}
{{- end -}}
{{- if .podMonitor.enabled -}}
{{- range list "cluster" "environment" -}}
{{- if not (get $.labels .) -}}
{{- fail (printf "worker.tailscale.agent.labels.%s is not set: dashboards and alerts group by it (deploy/clusters and deploy/environments set it)" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
