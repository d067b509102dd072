{{- define "taskmaster.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{/* 40 of 63 characters: names of pods get the component and a suffix. */}}
{{- define "taskmaster.fullname" -}}
{{- include "taskmaster.name" . | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* What a component's pods are found by. Takes (list . "component"). */}}
{{- define "taskmaster.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "taskmaster.labels" -}}
{{- $root := index . 0 -}}
{{ include "taskmaster.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{- define "taskmaster.image" -}}
{{- $unset := "image.repository is not set: push the image that deploy/Dockerfile makes, and name it here" -}}
{{- required $unset .Values.image.repository -}}
:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "taskmaster.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "taskmaster.fullname" .) }}
{{- end }}

{{- define "taskmaster.secret" -}}
{{- .Values.existingSecret | default (include "taskmaster.fullname" .) }}
{{- end }}

{{/* Where the addresses are from, as environment variables. Takes (list . "name of the Secret"). */}}
{{- define "taskmaster.addresses" -}}
{{- range list "DATABASE_URL" "AMQP_URL" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: {name: {{ index $ 1 }}, key: {{ . }}}
{{- end }}
{{- end }}

{{- define "taskmaster.environment" -}}
{{- include "taskmaster.addresses" (list . (include "taskmaster.secret" .)) }}
- {name: TASKMASTER_PREFIX, value: {{ .Values.prefix | quote }}}
- {name: TASKMASTER_WORKER_QUEUES, value: {{ .Values.workerQueues }}}
- {name: TASKMASTER_LOG_FORMAT, value: {{ .Values.logFormat }}}
{{- end }}

{{/* A map of names and values as environment variables. As JSON, because `quote` makes 1e+06 of a million. */}}
{{- define "taskmaster.env" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ if kindIs "string" $value }}{{ $value | quote }}{{ else }}{{ $value | toJson | quote }}{{ end }}}
{{- end }}
{{- end }}

{{/*
Annotations of pods. Takes (list . the component's values). With addresses in the values a change of them is a change of
the pods: these read their Secret only when they start.
*/}}
{{- define "taskmaster.podAnnotations" -}}
{{- $root := index . 0 }}{{ $annotations := (index . 1).podAnnotations }}
{{- if not $root.Values.existingSecret }}
{{- $checksum := list $root.Values.databaseUrl $root.Values.amqpUrl | toJson | sha256sum }}
{{- $annotations = merge (dict "checksum/addresses" $checksum) $annotations }}
{{- end }}
{{- with $annotations }}
annotations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "taskmaster.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "taskmaster.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/*
Says whether the process and its event loop live, and not whether Postgres is there: a restart would not bring it back.
*/}}
{{- define "taskmaster.alive" -}}
livenessProbe:
  exec: {command: [taskmaster, healthcheck]}
  initialDelaySeconds: 15
  # Each look is a process of its own.
  periodSeconds: 30
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{- define "taskmaster.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: run, mountPath: /run/taskmaster}
{{- if .Values.caSecret }}
- {name: ca, mountPath: /etc/taskmaster/ca, readOnly: true}
{{- end }}
{{- end }}

{{/* Takes (list . "size of /tmp"). Beside it one that no command of a task can fill up. */}}
{{- define "taskmaster.volumes" -}}
{{- $root := index . 0 -}}
- name: tmp
  emptyDir: {sizeLimit: {{ index . 1 }}}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- with $root.Values.caSecret }}
- name: ca
  secret: {secretName: {{ . }}}
{{- end }}
{{- end }}

{{/* Where pods run, and who pulls their image. Takes (list . the component's values). */}}
{{- define "taskmaster.placement" -}}
{{- $root := index . 0 }}{{ $own := index . 1 -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* On different nodes, where that can be. */}}
{{- define "taskmaster.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "taskmaster.selector" . | nindent 8 }}
{{- end }}
