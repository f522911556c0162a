{{/* Names, labels and images. */}}

{{- define "plue.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* 40 characters leave room for the longest suffix of an object and for what controllers add to pods. */}}
{{- define "plue.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "plue.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "plue.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which controllers and services select; they never change. Arguments: root, component. */}}
{{- define "plue.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "plue.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of every object. Arguments: root, component. */}}
{{- define "plue.labels" -}}
{{- $root := index . 0 -}}
{{ include "plue.selector" . }}
app.kubernetes.io/part-of: plue
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata of an object. Keys: root, component, and where they differ from the usual ones: name, suffix,
namespace (`-` for objects of the cluster), labels, annotations. */}}
{{- define "plue.metadata" -}}
{{- $root := .root -}}
metadata:
  name: {{ default (printf "%s%s" (include "plue.fullname" $root) (default "" .suffix)) .name }}
  {{- if ne (default "" .namespace) "-" }}
  namespace: {{ default $root.Release.Namespace .namespace }}
  {{- end }}
  labels:
    {{- include "plue.labels" (list $root .component) | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) (default (dict) .annotations) $root.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Arguments: root, map of image. */}}
{{- define "plue.image" -}}
{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with $image.registry }}{{ $repository = printf "%s/%s" . $repository }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default (index . 0).Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "plue.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "plue.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "plue.runnerServiceAccount" -}}
{{- with .Values.runners.serviceAccount -}}
{{- if .create -}}
{{- default (printf "%s-runner" (include "plue.fullname" $)) .name -}}
{{- else -}}
{{- default "default" .name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "plue.runnerNamespace" -}}
{{- default .Release.Namespace .Values.runners.namespace -}}
{{- end -}}

{{- define "plue.secretName" -}}
{{- printf "%s-secrets" (include "plue.fullname" .) -}}
{{- end -}}
