# make app: install and open the explorer.   make test: install and run the tests.
# Needs Python 3.11 or newer (with venv) and nothing else. PYTHON=... chooses another interpreter.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
# Containers often set it, and then every process compiles all of torch, pandas and SciPy anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: app test

app: $(INSTALLED)
	$(VENV)/bin/python -m streamlit run app.py

# By files: what the tests of one share is made once, not once in each process.
test: $(INSTALLED)
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not browser and not ray"

# Not compiled beforehand: that takes as long as installing, and most of it is never imported.
$(INSTALLED): requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt
	touch $@
