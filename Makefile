.PHONY: test lint format docs notebooks site ci

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

notebooks:  ## run the notebooks and keep what they show
	python docs/notebooks/execute.py

site:  ## build the documentation site into site/
	mkdocs build --strict

ci:  ## what every change must pass
	.ci/run
