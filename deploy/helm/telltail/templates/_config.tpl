{{/* telltail's configuration. The kubelet updates it in running pods and telltail reads it again, so nothing may depend on
     the checksum of this ConfigMap: a switch to `observe` must not restart any worker. */}}
{{- define "telltail.config" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if and $ts.enabled $ts.agent.enabled -}}
{{- include "telltail.validate" . -}}
{{- $way := empty $ts.socks5 | ternary "auto" (printf "socks5://%s" $ts.socks5) -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "telltail.name" . }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "telltail.labels" . | nindent 4 }}
data:
  telltail.yaml: |
    {{- toYaml (merge (deepCopy $ts.agent.config) (dict "via" $way)) | nindent 4 }}
{{- end }}
{{- end }}
