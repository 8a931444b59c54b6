{{- define "telltail.name" -}}
{{ .Release.Name }}-telltail
{{- end }}

{{- define "telltail.labels" -}}
app.kubernetes.io/name: telltail
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "telltail.image" -}}
{{ .repository }}:{{ .tag }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Pod Security "restricted" and a read-only root, for the uid in the argument. */}}
{{- define "telltail.restricted" -}}
runAsUser: {{ . }}
runAsGroup: {{ . }}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Name (the host's first label) and port of each target, as {targets: [{name, port}]}. */}}
{{- define "telltail.targets" -}}
targets:
{{- range .Values.worker.tailscale.agent.config.targets }}
{{- $url := urlParse (kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "url")) }}
{{- $host := regexReplaceAll ":[0-9]+$" $url.host "" }}
{{- $port := trimPrefix ":" (regexFind ":[0-9]+$" $url.host) | default (hasPrefix "postgres" $url.scheme | ternary 5432 6379) }}
  - {name: {{ $host | splitList "." | first }}, port: {{ $port }}}
{{- end }}
{{- end }}
