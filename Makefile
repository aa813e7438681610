# Names for the scripts, which work without make too. Each sets up what it needs.
#   make test ARGS="-k parse"    PORT=3001 make ui    PYTHON=/path/to/python3.11 make demo

.PHONY: demo test ui check setup lock

demo:
	@scripts/demo.sh $(ARGS)

test:
	@scripts/test.sh $(ARGS)

ui:
	@scripts/ui.sh $(ARGS)

check:
	@scripts/check.sh

setup:
	@scripts/setup.sh

lock: setup
	@scripts/lock.sh
