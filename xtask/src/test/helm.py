"""Reads the YAML that Helm has rendered, validates each document against the schemas of Kubernetes, and prints all as JSON."""

import json
import sys

import kubernetes_validate
import yaml

# Of others: their schemas come with the cluster.
WITHOUT_SCHEMA = ("keda.sh/",)

documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
for document in documents:
    if document["apiVersion"].startswith(WITHOUT_SCHEMA):
        continue
    try:
        kubernetes_validate.validate(document, sys.argv[1], strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(step) for step in error.path)
        sys.exit(f"{document['kind']} {document['metadata']['name']}: {where}: {error.message}")
json.dump(documents, sys.stdout)
