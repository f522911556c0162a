{{/* Combinations of values that cannot work; the schema refuses single values. */}}

{{- define "plue.isPostgres" -}}
{{- if eq .Values.database.kind "postgres" }}true{{ end -}}
{{- end -}}

{{- define "plue.isMany" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}true{{ end -}}
{{- end -}}

{{- define "plue.hasBucket" -}}
{{- if ((.Values.config).objects).url }}true{{ end -}}
{{- end -}}

{{/* `claim` or `empty`. */}}
{{- define "plue.stateVolume" -}}
{{- if ne .Values.state.volume "auto" -}}
{{- .Values.state.volume -}}
{{- else if and (include "plue.isPostgres" .) (include "plue.hasBucket" .) -}}
empty
{{- else -}}
claim
{{- end -}}
{{- end -}}

{{- define "plue.hasMasterKey" -}}
{{- if or .Values.masterKey.existingSecret .Values.masterKey.value }}true{{ end -}}
{{- end -}}

{{/* A claim of one node cannot be attached to the old and the new pod. */}}
{{- define "plue.isRolling" -}}
{{- if .Values.maintenance -}}
{{- else if eq (include "plue.stateVolume" .) "empty" -}}
{{- if include "plue.isPostgres" . }}true{{ end -}}
{{- else if and (include "plue.isPostgres" .) (has "ReadWriteMany" .Values.state.accessModes) -}}
true
{{- end -}}
{{- end -}}

{{- define "plue.validate" -}}
{{- $database := .Values.database -}}
{{- if include "plue.isPostgres" . -}}
{{- if and (not $database.url) (not $database.existingSecret) -}}
{{- fail "database.kind is postgres: set database.existingSecret, or database.url" -}}
{{- end -}}
{{- if not (include "plue.hasMasterKey" .) -}}
{{- fail "database.kind is postgres: set masterKey.existingSecret; engines that each make a master key cannot read each other's secrets" -}}
{{- end -}}
{{- if and (include "plue.isMany" .) (not .Values.maintenance) (not (include "plue.isRolling" .)) -}}
{{- fail "several engines need an object store (config.objects.url), or a state volume with the access mode ReadWriteMany" -}}
{{- end -}}
{{- if and (include "plue.isMany" .) (eq (include "plue.stateVolume" .) "empty") (not (include "plue.hasBucket" .)) -}}
{{- fail "several engines with state.volume empty need an object store (config.objects.url)" -}}
{{- end -}}
{{- else -}}
{{- if or $database.url $database.existingSecret -}}
{{- fail "database.url and database.existingSecret are for database.kind postgres" -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "autoscaling.enabled needs database.kind postgres" -}}
{{- end -}}
{{- if include "plue.isMany" . -}}
{{- fail "replicas is larger than 1: set database.kind to postgres; SQLite serves one engine" -}}
{{- end -}}
{{- if and (eq (include "plue.stateVolume" .) "empty") (not (include "plue.hasMasterKey" .)) -}}
{{- fail "state.volume is empty: set masterKey.existingSecret, or the master key is gone with the pod" -}}
{{- end -}}
{{- if eq .Values.migrations.mode "job" -}}
{{- fail "migrations.mode job needs database.kind postgres: the file of SQLite is on the volume of the engine" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.migrations.mode "job") (not $database.existingSecret) -}}
{{- fail "migrations.mode job needs database.existingSecret: hooks run before the chart's own Secret is there" -}}
{{- end -}}
{{- if and .Values.objectStore.existingSecret (not (include "plue.hasBucket" .)) -}}
{{- fail "objectStore.existingSecret is set: set config.objects.url too" -}}
{{- end -}}
{{- if and .Values.login.existingSecret (not ((.Values.config).login).issuer) -}}
{{- fail "login.existingSecret is set: set config.login.issuer too" -}}
{{- end -}}
{{- if and .Values.traces.existingSecret (not ((.Values.config).traces).endpoint) -}}
{{- fail "traces.existingSecret is set: set config.traces.endpoint too" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor count every sample twice: enable one of them" -}}
{{- end -}}
{{- if and (or .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled) (not .Values.metrics.tokenSecret) -}}
{{- fail "/metrics takes a token: put one into a Secret and set metrics.tokenSecret" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled: set httpRoute.parentRefs to the Gateway" -}}
{{- end -}}
{{- if and .Values.runners.createNamespace (not .Values.runners.namespace) -}}
{{- fail "runners.createNamespace: set runners.namespace" -}}
{{- end -}}
{{- end -}}
