.PHONY: test lint format docs site ci

test:  ## the test suite
	pytest

lint:  ## style and types
	ruff check
	ruff format --check
	mypy

format:  ## fix style
	ruff check --fix
	ruff format

docs:  ## regenerate the generated pages
	python docs/generate.py

site:  ## build the documentation site into site/
	mkdocs build --strict

ci:  ## what every change must pass
	.ci/run
