"""`riskbot COMMAND ...` and `python -m riskbot`: picks the subcommand and the exit code."""

from __future__ import annotations

import os
import sys
import traceback

# Before numpy is loaded: our products are small, and threads that take turns at them only wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from riskbot import cli, redaction
from riskbot.cli import exits
from riskbot.errors import ConfigError, RiskbotError, UsageError


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand and return its exit code; never raises what a subcommand raised."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return cli.dispatch(arguments)
    except SystemExit as stop:  # argparse: usage, --help
        return stop.code if isinstance(stop.code, int) else exits.USAGE
    except ConfigError as error:
        exits.tell_faults(error.faults)
        return exits.CONFIG
    except UsageError as error:
        print(f"riskbot: {redaction.redact(str(error))}", file=sys.stderr)
        return exits.USAGE
    except RiskbotError as error:
        print(f"riskbot: {redaction.redact(str(error))}", file=sys.stderr)
        return exits.NOT_DONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`riskbot ctl status | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.NOT_DONE
    except Exception:  # noqa: BLE001 - whatever it was, the exit code is part of the contract
        print(redaction.redact(traceback.format_exc()), file=sys.stderr)
        return exits.INTERNAL


if __name__ == "__main__":
    raise SystemExit(main())
