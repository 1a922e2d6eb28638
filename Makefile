# Each of these does everything on a fresh machine (Debian 12 or 13 or Ubuntu, root, Python 3.11 or newer):
#   make demo    a lab of real hosts, a live hub upgraded to a pair, a power cut; make demo-down removes it
#   make test    every test; its exit status is the verdict
#   make layouts each layout that people have, made on lab hosts: refused before the first change, or a pair at the end
#   make faults  every fault to a living pair, in an order of a printed seed (ROWS=a,b SEED=n); make demo-down ends it
SHELL := /bin/bash
PYTHON ?= python3
VENV := .cache/venv
STAMP := $(VENV)/.installed
LINK := .cache/collections/ansible_collections/cfengine/hub_ha

.PHONY: help docs demo demo-down test faults layouts lint unit molecule venv link clean

help:
	@sed -n 's/^#   //p' Makefile

demo: venv
	@$(PYTHON) -m lab.demo

demo-down:
	@$(PYTHON) -m lab down

test: venv
	@$(VENV)/bin/python tests/run.py

faults: venv
	@$(PYTHON) -m lab up --hosts hub1,hub2,client1
	@$(PYTHON) -m lab faults --build $(if $(ROWS),--rows $(ROWS)) $(if $(SEED),--seed $(SEED))

layouts: venv
	@$(VENV)/bin/python tests/run.py molecule-layouts

lint unit molecule: venv
	@$(VENV)/bin/python tests/run.py $@

venv: $(STAMP) link

$(STAMP): requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	@echo "installing Ansible and the test tools into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@set -o pipefail; $(VENV)/bin/pip install --disable-pip-version-check -r requirements.txt -c constraints.txt | \
		sed -un 's/^Collecting \([^ ]*\).*/  \1/p; s/^\(Installing\) .*/  \1/p'
	@touch $@

# What is made from the argument specs and from docs/problems.md; tests fail where it differs.
docs: venv
	@$(VENV)/bin/python tests/readmes.py
	@$(VENV)/bin/python tests/problems.py

# The checkout is the collection: playbooks and tests see it where Ansible looks for collections.
link:
	@mkdir -p $(dir $(LINK))
	@test -L $(LINK) || rm -rf $(LINK)
	@ln -sfn $(CURDIR) $(LINK)

clean:
	@$(PYTHON) -m lab clean
	@rm -rf .cache/venv .cache/collections .cache/test
