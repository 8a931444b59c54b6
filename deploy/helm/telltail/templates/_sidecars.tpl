{{/* The init containers of the worker's pod, in order: each starts once the one before it has started. */}}
{{- define "telltail.sidecars" -}}
{{- include "telltail.validate" . -}}
{{- if .Values.worker.tailscale.enabled -}}
{{ include "telltail.tailscale" . }}
{{- if .Values.worker.tailscale.agent.enabled }}
{{ include "telltail.telltail" . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "telltail.tailscale" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- $args := list "--shields-up" -}}
{{- if not $ts.userspace }}{{ $args = append $args "--netfilter-mode=off" }}{{ end -}}
{{- if $ts.acceptRoutes }}{{ $args = append $args "--accept-routes" }}{{ end -}}
{{- if $ts.tags }}{{ $args = append $args (printf "--advertise-tags=%s" (join "," $ts.tags)) }}{{ end -}}
- name: tailscale
  image: {{ include "telltail.image" $ts.image }}
  # A native sidecar: it starts before the worker and ends after it. It has no probes: its entrypoint exits when
  # tailscaled is not running, and a restart repairs neither the network nor the control plane.
  restartPolicy: Always
  env:
    - name: TS_SOCKET
      value: /var/run/tailscale/tailscaled.sock
    # State on the pod's own disk: the node stays the same when the container restarts, and goes with the pod. The default
    # in a cluster is one Secret, which all replicas share, and with it one identity.
    - name: TS_KUBE_SECRET
      value: ""
    # A folder of its own below the volume: root owns the volume, and tailscaled, which is not root, exits if it cannot
    # change its folder's mode.
    - name: TS_STATE_DIR
      value: /var/lib/tailscale/state
    # The key is used once: a container that restarts does not need a valid one.
    - name: TS_AUTH_ONCE
      value: "true"
    - name: TS_AUTHKEY
      value: file:/var/run/secrets/tailscale/{{ $ts.authSecretKey }}
    - name: TS_HOSTNAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: TS_ACCEPT_DNS
      value: "false"
    - name: TS_USERSPACE
      value: {{ $ts.userspace | quote }}
    {{- with $ts.socks5 }}
    - name: TS_SOCKS5_SERVER
      value: {{ . | quote }}
    {{- end }}
    # Nothing on the tailnet connects to a worker; without --shields-up an open policy would expose /metrics to it.
    - name: TS_EXTRA_ARGS
      value: {{ join " " (concat $args $ts.extraArgs) | quote }}
  resources: {{- toYaml $ts.resources | nindent 4 }}
  securityContext:
    {{- if $ts.userspace }}
    {{- include "telltail.restricted" 65533 | nindent 4 }}
    {{- else }}
    # Root, because a capability has no effect for another user; of root's capabilities only the one that creates the
    # interface and its routes.
    runAsUser: 0
    runAsGroup: 0
    runAsNonRoot: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL], add: [NET_ADMIN]}
    seccompProfile: {type: RuntimeDefault}
    {{- end }}
  volumeMounts:
    - {name: tailscale-socket, mountPath: /var/run/tailscale}
    - {name: tailscale-state, mountPath: /var/lib/tailscale}
    - {name: tailscale-tmp, mountPath: /tmp}
    - {name: tailscale-auth, mountPath: /var/run/secrets/tailscale, readOnly: true}
    {{- if not $ts.userspace }}
    - {name: tun, mountPath: /dev/net/tun}
    {{- end }}
{{- end }}

{{- define "telltail.telltail" -}}
{{- $agent := .Values.worker.tailscale.agent -}}
{{- $tag := $agent.image.tag | default .Subcharts.telltail.Chart.AppVersion -}}
- name: telltail
  image: {{ include "telltail.image" (merge (dict "tag" $tag) $agent.image) }}
  restartPolicy: Always
  args: [run]
  env:
    - name: TS_SOCKET
      value: /var/run/tailscale/tailscaled.sock
    # A variable, so that `kubectl exec POD -c telltail -- /telltail doctor` finds the same file.
    - name: TELLTAIL_CONFIG
      value: /etc/telltail/telltail.yaml
    # Spreads the probes of many pods over the interval.
    - name: POD_UID
      valueFrom: {fieldRef: {fieldPath: metadata.uid}}
    # For the commands that the doctor prints.
    - name: POD_NAMESPACE
      valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  ports:
    - {name: telltail, containerPort: 8245}
  # The startup gate: the worker starts once this passes, at the latest after the release time (90 s), so the kubelet
  # waits longer than that.
  startupProbe:
    httpGet: {path: /startupz, port: telltail}
    periodSeconds: 1
    timeoutSeconds: 2
    failureThreshold: 120
  readinessProbe:
    httpGet: {path: /healthz, port: telltail}
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 2
  # Only the process: a restart does not repair the network.
  livenessProbe:
    httpGet: {path: /livez, port: telltail}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  resources: {{- toYaml $agent.resources | nindent 4 }}
  # Neither tailscaled's uid nor root's: tailscaled accepts changes from both.
  securityContext: {{- include "telltail.restricted" 65532 | nindent 4 }}
  volumeMounts:
    - {name: tailscale-socket, mountPath: /var/run/tailscale, readOnly: true}
    - {name: telltail-config, mountPath: /etc/telltail, readOnly: true}
{{- end }}
