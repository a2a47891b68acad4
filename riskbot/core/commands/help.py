"""`help`: what this role may do, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.commands._base import Command, Reply

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Help(Command):
    """List the commands the asker's role may use."""

    name: ClassVar[str] = "help"
    help: ClassVar[str] = "this list"
    reads_only: ClassVar[bool] = True

    command: str | None = None

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with one line per command, or with the arguments of one."""
        del request_id
        # Here and not above: the registry lists this file too.
        from riskbot.core import commands

        del turn
        mine = [c for c in commands.COMMANDS if c.role.rank <= actor.role.rank]
        if self.command is not None:
            mine = [c for c in mine if c.name == self.command]
        rows = [
            {
                "name": c.name,
                "help": c.help,
                "role": c.role.value,
                "asks_first": c.is_risky,
                "arguments": list(c.model_fields),
            }
            for c in mine
        ]
        lines = [f"{c.name}: {c.help}" for c in mine]
        return Reply(ok=bool(rows), message="\n".join(lines) or "no such command", document=rows)
