# Each target sets itself up: a virtual environment in .venv, with requirements.txt.
# PYTHON names another interpreter (3.11, 3.12 or 3.13).
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
RUN = .venv/bin/python
STAMP = .venv/installed-$(shell cksum requirements.txt | cut -d' ' -f1)

CLUSTER = .venv/cluster-installed-$(shell cksum requirements.txt requirements-cluster.txt | cksum | cut -d' ' -f1)

BACKENDS = .venv-backends/installed-$(shell cksum requirements-backends.txt | cut -d' ' -f1)

.PHONY: help install demo test test-backends lint bench clean

help:
	@echo "make demo   a few minutes of training on simulated brains and its report; a pair without training"
	@echo "make test   all tests; make lint: style; make bench: every benchmark (hours)"
	@echo "make test-backends   the numerical tests on Keras' JAX and PyTorch backends"

install: $(STAMP)

$(STAMP): requirements.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11, 3.12 or 3.13 is needed, found %d.%d; name one: make PYTHON=/path/to/python3.11" % v)'
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@rm -f .venv/installed-*
	@touch $(STAMP)

$(CLUSTER): $(STAMP) requirements-cluster.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --requirement requirements-cluster.txt
	@rm -f .venv/cluster-installed-*
	@touch $(CLUSTER)

demo: $(STAMP)
	$(RUN) main.py hypermorph --config configs/hypermorph/demo.yaml
	@echo "The same two brains without any training:"
	$(RUN) main.py register --set output=runs/demo_pair --set moving=runs/demo/phantoms/image/phantom-000.nii.gz --set fixed=runs/demo/phantoms/image/phantom-001.nii.gz --set moving_labels=runs/demo/phantoms/labels/phantom-000.nii.gz --set fixed_labels=runs/demo/phantoms/labels/phantom-001.nii.gz

test: $(STAMP) $(CLUSTER)
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-backends: $(BACKENDS)
	KERAS_BACKEND=jax .venv-backends/bin/python -m pytest tests/nets tests/classification tests/transfer tests/segmentation
	KERAS_BACKEND=torch .venv-backends/bin/python -m pytest tests/nets tests/classification tests/transfer tests/segmentation

$(BACKENDS): requirements-backends.txt
	$(PYTHON) -m venv .venv-backends
	.venv-backends/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-backends.txt
	@rm -f .venv-backends/installed-*
	@touch $(BACKENDS)

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

bench: $(STAMP)
	$(RUN) -m benchmarks.demo
	$(RUN) -m benchmarks.floor --peers
	$(RUN) -m benchmarks.engine
	$(RUN) -m benchmarks.affine
	$(RUN) -m benchmarks.engine_tasks
	$(RUN) -m benchmarks.engine_network
	$(RUN) -m benchmarks.warps
	$(RUN) -m benchmarks.cohort
	$(RUN) -m benchmarks.ixi_3d
	$(RUN) -m benchmarks.precision
	$(RUN) -m benchmarks.hypermorph_against_voxelmorph
	$(RUN) -m benchmarks.hypermorph_2d
	$(RUN) -m benchmarks.gaussian_process
	$(RUN) -m benchmarks.tuning_digits
	$(RUN) -m benchmarks.tuning_replay
	$(RUN) -m benchmarks.field_of_view
	$(RUN) -m benchmarks.kidney_shapes
	$(RUN) -m benchmarks.kidney_transfer
	$(RUN) -m benchmarks.kidney_real
	$(RUN) -m benchmarks.template_against_unet
	$(RUN) -m benchmarks.kills
	$(RUN) -m benchmarks.dicom_readers

clean:
	rm -rf .venv .venv-backends .venv-peers .peers runs .pytest_cache .ruff_cache
