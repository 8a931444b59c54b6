{{/* Everything else that the worker's pod needs. */}}

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

{{/* The PodMonitor and the NetworkPolicy select the pods by this label. */}}
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

{{/* In TUN mode the pod asks the tailnet's DNS first. For names outside the tailnet it answers SERVFAIL, and glibc and musl
     then ask the next server, the cluster's. In the other order the cluster's NXDOMAIN would be final. */}}
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
  # Nothing answers at the first address before tailscaled runs, and tailscaled itself resolves its control server then:
  # with the default of 5 s a pod takes 11 s to start instead of 4.
  options: [{name: timeout, value: "1"}]
{{- end }}
{{- end }}

{{/* The proxy resolves the names (socks5h): only tailscaled knows them. Not ALL_PROXY, which would send every other
     connection of the worker through tailscaled too. */}}
{{- define "telltail.workerEnv" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if and $ts.enabled $ts.socks5 -}}
- name: TAILNET_PROXY
  value: socks5h://{{ $ts.socks5 }}
{{- end }}
{{- end }}
