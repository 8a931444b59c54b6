{{- define "telltail.podMonitor" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if and $ts.enabled $ts.agent.enabled $ts.agent.podMonitor.enabled -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "telltail.name" . }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "telltail.labels" . | nindent 4 }}
    {{- with $ts.agent.podMonitor.labels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  selector:
    matchLabels: {{- include "telltail.podLabels" . | nindent 6 }}
  # Twice the series that this number of targets needs; Prometheus rejects a scrape with more as a whole.
  sampleLimit: {{ add 100 (mul 200 (len $ts.agent.config.targets)) }}
  podMetricsEndpoints:
    - port: telltail
      interval: {{ $ts.agent.podMonitor.interval }}
      relabelings:
        - {targetLabel: job, replacement: telltail}
        {{- range $label, $value := $ts.agent.labels }}
        - {targetLabel: {{ $label }}, replacement: {{ $value | quote }}}
        {{- end }}
{{- end }}
{{- end }}
