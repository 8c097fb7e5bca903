.PHONY: test lint format docs ci

test:  ## the test suite
	pytest

lint:  ## style and types
	ruff check
	ruff format --check
	mypy

format:  ## put the code into its one form
	ruff check --fix
	ruff format

docs:  ## write the generated pages anew
	python docs/generate.py

ci:  ## what every change must pass
	.ci/run
