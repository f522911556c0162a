{{/* /etc/plue/config.toml. */}}

{{- define "plue.toml.key" -}}
{{- ternary . (toJson .) (regexMatch "^[A-Za-z0-9_-]+$" .) -}}
{{- end -}}

{{/* One value. Numbers come as floats from YAML; those without a fraction are whole numbers. */}}
{{- define "plue.toml.value" -}}
{{- if kindIs "slice" . -}}
[{{ range $at, $item := . }}{{ if $at }}, {{ end }}{{ include "plue.toml.value" $item }}{{ end }}]
{{- else if kindIs "map" . -}}
{ {{- $at := 0 }}{{ range $key, $item := . }}{{ if $at }},{{ end }} {{ include "plue.toml.key" $key }} = {{ include "plue.toml.value" $item }}{{ $at = 1 }}{{ end }} }
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ int64 . }}
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}

{{/* A table and those inside of it. Arguments: its name, its keys. */}}
{{- define "plue.toml.table" -}}
{{- $name := index . 0 -}}
{{- $tables := dict -}}
{{- $lists := dict -}}
{{- $lines := list -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $tables $key $value -}}
{{- else if and (kindIs "slice" $value) $value (kindIs "map" (first $value)) -}}
{{- $_ := set $lists $key $value -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $lines = append $lines (printf "%s = %s" $key (include "plue.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- if $lines }}
{{ with $name }}
[{{ . }}]
{{ end -}}
{{ join "\n" $lines }}
{{- end -}}
{{- range $key, $items := $lists -}}
{{- range $items }}

[[{{ ternary $key (printf "%s.%s" $name $key) (eq $name "") }}]]
{{- range $inner, $value := . }}
{{ $inner }} = {{ include "plue.toml.value" $value }}
{{- end }}
{{- end -}}
{{- end -}}
{{- range $key, $value := $tables -}}
{{- include "plue.toml.table" (list (ternary $key (printf "%s.%s" $name $key) (eq $name "")) $value) -}}
{{- end -}}
{{- end -}}

{{/* The table `kubernetes`. */}}
{{- define "plue.kubernetes" -}}
namespace: {{ include "plue.runnerNamespace" . }}
service_account: {{ include "plue.runnerServiceAccount" . }}
owner_config_map: {{ include "plue.fullname" . }}-runners
instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
engine_url: http://{{ include "plue.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
runner_image: {{ include "plue.image" (list . .Values.runners.image) }}
{{- end -}}

{{/* One pool: its keys in the spelling of the configuration; empty ones are left to plue. Arguments: root, pool. */}}
{{- define "plue.pool" -}}
{{- $keys := dict -}}
{{- range $key, $value := index . 1 -}}
{{- if or (kindIs "bool" $value) (kindIs "float64" $value) (kindIs "int64" $value) $value -}}
{{- $_ := set $keys (snakecase $key) $value -}}
{{- end -}}
{{- end -}}
{{- if not $keys.image -}}
{{- $_ := set $keys "image" (include "plue.image" (list (index . 0) (index . 0).Values.runners.image)) -}}
{{- end -}}
{{- if not $keys.image_pull_secrets -}}
{{- with (index . 0).Values.imagePullSecrets -}}
{{- $names := list -}}
{{- range . }}{{ $names = append $names .name }}{{ end -}}
{{- $_ := set $keys "image_pull_secrets" $names -}}
{{- end -}}
{{- end -}}
{{- toYaml $keys -}}
{{- end -}}

{{- define "plue.config" -}}
{{- $config := deepCopy (default (dict) .Values.config) -}}
{{- $_ := set $config "state_dir" "/var/lib/plue/state" -}}
{{- if .Values.objectStore.existingSecret -}}
{{- $files := dict "access_key_file" "/run/plue/object-store/access-key" "secret_key_file" "/run/plue/object-store/secret-key" -}}
{{- $_ := set $config "objects" (merge $files $config.objects) -}}
{{- end -}}
{{- if .Values.login.existingSecret -}}
{{- $_ := set $config "login" (merge (dict "client_secret_file" "/run/plue/login/client-secret") $config.login) -}}
{{- end -}}
{{- if .Values.traces.existingSecret -}}
{{- $_ := set $config "traces" (merge (dict "headers_file" "/run/plue/traces/headers") $config.traces) -}}
{{- end -}}
{{- if .Values.pools -}}
{{- $_ := set $config "kubernetes" (include "plue.kubernetes" . | fromYaml) -}}
{{- $pools := list -}}
{{- range .Values.pools -}}
{{- $pools = append $pools (include "plue.pool" (list $ .) | fromYaml) -}}
{{- end -}}
{{- $_ := set $config "pools" (merge (dict "kubernetes" $pools) (default (dict) $config.pools)) -}}
{{- end -}}
{{- include "plue.toml.table" (list "" $config) | trim -}}
{{- end -}}

{{/* Address of the server for people. */}}
{{- define "plue.publicUrl" -}}
{{- if .Values.publicUrl -}}
{{- .Values.publicUrl -}}
{{- else if and .Values.ingress.enabled .Values.ingress.hosts -}}
{{- printf "%s://%s" (ternary "https" "http" (not (empty .Values.ingress.tls))) (first .Values.ingress.hosts).host -}}
{{- else if and .Values.httpRoute.enabled .Values.httpRoute.hostnames -}}
{{- printf "%s://%s" (ternary "https" "http" .Values.httpRoute.https) (first .Values.httpRoute.hostnames) -}}
{{- end -}}
{{- end -}}
