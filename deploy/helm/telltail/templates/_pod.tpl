{{/* What else the worker's pod needs. */}}

{{- define "telltail.volumes" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if $ts.enabled -}}
- name: tailscale-socket
  emptyDir: {sizeLimit: 1Mi}
- name: tailscale-state
  emptyDir: {sizeLimit: 64Mi}
- name: tailscale-tmp
  emptyDir: {sizeLimit: 64Mi}
- name: tailscale-auth
  secret:
    secretName: {{ $ts.authSecretName }}
    items: [{key: {{ $ts.authSecretKey }}, path: {{ $ts.authSecretKey }}}]
{{- if not $ts.userspace }}
- name: tun
  hostPath: {path: /dev/net/tun, type: CharDevice}
{{- end }}
{{- if $ts.agent.enabled }}
- name: telltail-config
  configMap: {name: {{ include "telltail.name" . }}}
{{- end }}
{{- end }}
{{- end }}

{{/* By this label the PodMonitor and the NetworkPolicy find the pods. */}}
{{- define "telltail.podLabels" -}}
telltail.stackeye.io/release: {{ .Release.Name }}
{{- end }}

{{- define "telltail.podAnnotations" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if and $ts.enabled $ts.agent.enabled $ts.agent.scrapeAnnotations -}}
prometheus.io/scrape: "true"
prometheus.io/port: "8245"
prometheus.io/path: /metrics
{{- end }}
{{- end }}

{{/* In TUN mode the pod asks the tailnet's DNS first. It says SERVFAIL to what is not the tailnet's, whereupon glibc and
     musl ask the next one, the cluster's; the other way round the cluster's "no such name" would be the last word. */}}
{{- define "telltail.dns" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if and $ts.enabled (not $ts.userspace) -}}
dnsPolicy: None
dnsConfig:
  nameservers: [100.100.100.100, {{ $ts.clusterDNS }}]
  searches:
    - {{ $ts.tailnet }}
    - {{ .Release.Namespace }}.svc.cluster.local
    - svc.cluster.local
    - cluster.local
  # Nobody answers at the first address before tailscaled runs, and tailscaled itself asks for its control server then:
  # with the default of 5 s a pod needs 11 s to start instead of 4.
  options: [{name: timeout, value: "1"}]
{{- end }}
{{- end }}

{{/* Names are resolved by the proxy (socks5h): only tailscaled knows them. Not ALL_PROXY, which would send every other
     connection of the worker through tailscaled as well. */}}
{{- define "telltail.workerEnv" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if and $ts.enabled $ts.socks5 -}}
- name: TAILNET_PROXY
  value: socks5h://{{ $ts.socks5 }}
{{- end }}
{{- end }}
