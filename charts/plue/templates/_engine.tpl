{{/* Parts of the engine's pod that migrations share. */}}

{{- define "plue.env" -}}
- name: PLUE_STATE_DIR
  value: /var/lib/plue/state
- name: XDG_CONFIG_HOME
  value: /var/lib/plue/config
- name: HOME
  value: /tmp
{{- if include "plue.isPostgres" . }}
- name: PLUE_DATABASE
  valueFrom:
    secretKeyRef:
      {{- if .Values.database.existingSecret }}
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.existingSecretKey }}
      {{- else }}
      name: {{ include "plue.secretName" . }}
      key: database-url
      {{- end }}
{{- end }}
{{- if include "plue.hasMasterKey" . }}
- name: CREDENTIALS_DIRECTORY
  value: /run/plue/credentials
{{- end }}
{{- end -}}

{{- define "plue.claudeEnv" -}}
{{- with .Values.claude }}
{{- if or .existingSecret .value }}
- name: ANTHROPIC_API_KEY
  valueFrom:
    secretKeyRef:
      {{- if .existingSecret }}
      name: {{ .existingSecret }}
      key: {{ .existingSecretKey }}
      {{- else }}
      name: {{ include "plue.secretName" $ }}
      key: claude-api-key
      {{- end }}
{{- end }}
{{- with .baseUrl }}
- name: ANTHROPIC_BASE_URL
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "plue.mounts" -}}
- name: state
  mountPath: /var/lib/plue
- name: tmp
  mountPath: /tmp
- name: config
  mountPath: /etc/plue
  readOnly: true
{{- if include "plue.hasMasterKey" . }}
- name: master-key
  mountPath: /run/plue/credentials
  readOnly: true
{{- end }}
{{- if .Values.objectStore.existingSecret }}
- name: object-store
  mountPath: /run/plue/object-store
  readOnly: true
{{- end }}
{{- if .Values.login.existingSecret }}
- name: login
  mountPath: /run/plue/login
  readOnly: true
{{- end }}
{{- if .Values.traces.existingSecret }}
- name: traces
  mountPath: /run/plue/traces
  readOnly: true
{{- end }}
{{- end -}}

{{- define "plue.volumes" -}}
- name: state
  {{- if eq (include "plue.stateVolume" .) "claim" }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-state" (include "plue.fullname" .)) .Values.state.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .Values.state.emptyDirSize }}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 2Gi
- name: config
  configMap:
    name: {{ include "plue.fullname" . }}
{{- if include "plue.hasMasterKey" . }}
- name: master-key
  secret:
    {{- if .Values.masterKey.existingSecret }}
    secretName: {{ .Values.masterKey.existingSecret }}
    items:
      - key: {{ .Values.masterKey.existingSecretKey }}
        path: plue-secret-key
    {{- else }}
    secretName: {{ include "plue.secretName" . }}
    items:
      - key: master-key
        path: plue-secret-key
    {{- end }}
{{- end }}
{{- with .Values.objectStore }}
{{- if .existingSecret }}
- name: object-store
  secret:
    secretName: {{ .existingSecret }}
    items:
      - key: {{ .accessKeyKey }}
        path: access-key
      - key: {{ .secretKeyKey }}
        path: secret-key
{{- end }}
{{- end }}
{{- with .Values.login }}
{{- if .existingSecret }}
- name: login
  secret:
    secretName: {{ .existingSecret }}
    items:
      - key: {{ .existingSecretKey }}
        path: client-secret
{{- end }}
{{- end }}
{{- with .Values.traces }}
{{- if .existingSecret }}
- name: traces
  secret:
    secretName: {{ .existingSecret }}
    items:
      - key: {{ .existingSecretKey }}
        path: headers
{{- end }}
{{- end }}
{{- end -}}

{{/* What every pod of the chart has that runs an image of plue. */}}
{{- define "plue.podBasics" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{- define "plue.migration" -}}
name: migrate
image: {{ include "plue.image" (list . .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [migrate]
env:
  {{- include "plue.env" . | nindent 2 }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.auxiliaryResources | nindent 2 }}
{{- end -}}
