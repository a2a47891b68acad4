"""What the Bot API's methods do: chats, messages, menus; replies worded as Telegram words them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.servers.telegram_html import EntityError, commands, parse, utf16

Params = dict[str, Any]

TEXT_MAX = 4096
CAPTION_MAX = 1024
DATA_MAX = 64
NOTICE_MAX = 200
NO_PIN = "Bad Request: not enough rights to manage pinned messages in the chat"


class Refused(Exception):  # noqa: N818 - an answer of the protocol
    """An answer with `ok: false`."""

    def __init__(
        self, code: int, description: str, parameters: dict[str, Any] | None = None
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


@dataclass
class Chat:
    """One chat the bot is in.

    Attributes:
        messages: by id, as the Bot API shows them; deleted ones are gone.
        may_pin: whether the bot has the right to pin.
        pins: what was pinned and unpinned, in order: the calls.
        sent: every message the bot sent, in order, as sent first.
        edits: every successful edit, in order.
    """

    info: dict[str, Any]
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    pins: list[dict[str, Any]] = field(default_factory=list)
    may_pin: bool = True
    is_blocked: bool = False
    moved_to: int | None = None
    pinned: int | None = None

    @property
    def texts(self) -> list[str]:
        """Texts of what the bot sent, as sent."""
        return [message.get("text", message.get("caption", "")) for message in self.sent]


class Chats:
    """Every chat of one bot, and the methods that act on them."""

    def __init__(self, bot: dict[str, Any]) -> None:
        self.bot = bot
        self.chats: dict[int, Chat] = {}
        self.answers: list[dict[str, Any]] = []
        self.open_queries: set[str] = set()
        self.menus: dict[str, list[dict[str, str]]] = {}
        self.webhook = ""
        self.files: dict[str, bytes] = {}
        self.push: Callable[[dict[str, Any]], Any] = lambda _: None
        self.actions: list[dict[str, Any]] = []
        self._next_message = self._count(100)
        self.methods: dict[str, Callable[[Params], Any]] = {
            "getme": lambda _: self.bot,
            "sendmessage": self.send_message,
            "sendphoto": self.send_photo,
            "senddocument": self.send_document,
            "editmessagetext": self.edit_text,
            "editmessagemedia": self.edit_media,
            "editmessagereplymarkup": self.edit_markup,
            "deletemessage": self.delete,
            "pinchatmessage": self.pin,
            "unpinchatmessage": self.unpin,
            "sendchataction": self.action,
            "answercallbackquery": self.answer,
            "setmycommands": self.set_commands,
            "getmycommands": self.get_commands,
            "deletemycommands": self.delete_commands,
            "setwebhook": self.set_webhook,
            "deletewebhook": self.delete_webhook,
            "getwebhookinfo": lambda _: {
                "url": self.webhook,
                "has_custom_certificate": False,
                "pending_update_count": 0,
            },
        }

    @staticmethod
    def _count(first: int) -> Iterator[int]:
        while True:
            yield first
            first += 1

    def next_message(self) -> int:
        """Return the number of the next message."""
        return next(self._next_message)

    def chat(self, params: Params) -> Chat:
        """Return the chat a call names.

        Raises:
            Refused: unknown, moved, or closed to the bot.
        """
        try:
            chat = self.chats[int(params["chat_id"])]
        except (KeyError, ValueError):
            raise Refused(400, "Bad Request: chat not found") from None
        if chat.moved_to is not None:
            raise Refused(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                {"migrate_to_chat_id": chat.moved_to},
            )
        if chat.is_blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        return chat

    # ---- messages -------------------------------------------------------------------------------

    def send_message(self, params: Params) -> dict[str, Any]:
        """Take a text message."""
        chat = self.chat(params)
        content = _content(params, "text", "Bad Request: message text is empty")
        return self._post(chat, params, content)

    def send_photo(self, params: Params) -> dict[str, Any]:
        """Take a photo, uploaded or by id."""
        chat = self.chat(params)
        return self._post(chat, params, self._photo(params, params.get("photo"), params))

    def send_document(self, params: Params) -> dict[str, Any]:
        """Take an uploaded file of any kind."""
        chat = self.chat(params)
        upload = params.get(str(params.get("document", "")).removeprefix("attach://"))
        if not isinstance(upload, dict):
            raise Refused(400, "Bad Request: there is no document in the request")
        if not upload["data"]:
            raise Refused(400, "Bad Request: file must be non-empty")
        file_id = f"BQAC{len(self.files) + 1:04d}"
        self.files[file_id] = upload["data"]
        size = len(upload["data"])
        file = {"file_id": file_id, "file_unique_id": file_id, "file_size": size}
        return self._post(
            chat, params, {"document": {**file, "file_name": upload["file"]}, **_caption(params)}
        )

    def _photo(self, params: Params, named: Any, said: Params) -> dict[str, Any]:
        """Return the content of a photo message: of an upload, or of a file that is known."""
        if not named:
            raise Refused(400, "Bad Request: there is no photo in the request")
        file_id = str(named)
        if file_id.startswith("attach://"):
            data = (params.get(file_id.removeprefix("attach://")) or {}).get("data", b"")
            if not data.startswith(b"\x89PNG\r\n\x1a\n"):
                raise Refused(400, "Bad Request: IMAGE_PROCESS_FAILED")
            file_id = f"AgAC{len(self.files) + 1:04d}"
            self.files[file_id] = data
        if file_id not in self.files:
            raise Refused(400, "Bad Request: wrong file identifier/HTTP URL specified")
        data = self.files[file_id]
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        if width + height > 10_000 or max(width, height) > 20 * min(width, height):
            raise Refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
        size = {"file_id": file_id, "file_unique_id": file_id, "width": width, "height": height}
        return {"photo": [size], **_caption(said)}

    def _post(self, chat: Chat, params: Params, content: dict[str, Any]) -> dict[str, Any]:
        reply = _json(params.get("reply_parameters"))
        message: dict[str, Any] = {
            "message_id": self.next_message(),
            "from": self.bot,
            "chat": chat.info,
            "date": int(time.time()),
            **content,
        }
        if reply:
            target = chat.messages.get(int(reply["message_id"]))
            if target is None and not reply.get("allow_sending_without_reply"):
                raise Refused(400, "Bad Request: message to be replied not found")
            if target is not None:
                message["reply_to_message"] = {
                    key: value for key, value in target.items() if key != "reply_to_message"
                }
        markup = _markup(params)
        if markup:
            message["reply_markup"] = markup
        chat.messages[message["message_id"]] = message
        silent = str(params.get("disable_notification", "")).lower() == "true"
        chat.sent.append({**message, "is_silent": silent})
        return message

    def _own(self, chat: Chat, params: Params, what: str) -> dict[str, Any]:
        message = chat.messages.get(int(params.get("message_id", 0)))
        if message is None:
            raise Refused(400, f"Bad Request: message to {what} not found")
        if message["from"] != self.bot:
            raise Refused(400, "Bad Request: message can't be edited")
        return message

    def edit_text(self, params: Params) -> dict[str, Any]:
        """Change a text message of the bot's."""
        chat = self.chat(params)
        message = self._own(chat, params, "edit")
        if "text" not in message:
            raise Refused(400, "Bad Request: there is no text in the message to edit")
        content = _content(params, "text", "Bad Request: message text is empty")
        changed = {**message, **content, "edit_date": int(time.time())}
        return self._change(chat, message, changed, _markup(params))

    def edit_media(self, params: Params) -> dict[str, Any]:
        """Change the photo of a message of the bot's, or put one into a text message."""
        chat = self.chat(params)
        message = self._own(chat, params, "edit")
        media = _json(params.get("media")) or {}
        if media.get("type") != "photo":
            raise Refused(400, "Bad Request: can't parse InputMedia: type is not served here")
        content = self._photo(params, media.get("media"), media)
        gone = ("text", "entities", "caption", "caption_entities", "photo")
        kept = {key: value for key, value in message.items() if key not in gone}
        changed = {**kept, **content, "edit_date": int(time.time())}
        return self._change(chat, message, changed, _markup(params))

    def edit_markup(self, params: Params) -> dict[str, Any]:
        """Change the buttons of a message of the bot's."""
        chat = self.chat(params)
        message = self._own(chat, params, "edit")
        return self._change(chat, message, dict(message), _markup(params))

    def _change(
        self,
        chat: Chat,
        before: dict[str, Any],
        changed: dict[str, Any],
        markup: dict[str, Any] | None,
    ) -> dict[str, Any]:
        changed.pop("reply_markup", None)
        if markup:
            changed["reply_markup"] = markup
        parts = ("text", "entities", "photo", "caption", "caption_entities", "reply_markup")
        if all(before.get(part) == changed.get(part) for part in parts):
            raise Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message",
            )
        chat.messages[changed["message_id"]] = changed
        chat.edits.append(changed)
        return changed

    def delete(self, params: Params) -> bool:
        """Delete a message."""
        chat = self.chat(params)
        if chat.messages.pop(int(params.get("message_id", 0)), None) is None:
            raise Refused(400, "Bad Request: message to delete not found")
        return True

    def pin(self, params: Params) -> bool:
        """Pin a message."""
        chat = self.chat(params)
        message = chat.messages.get(int(params.get("message_id", 0)))
        if message is None:
            raise Refused(400, "Bad Request: message to pin not found")
        if not chat.may_pin:
            raise Refused(400, NO_PIN)
        if chat.pinned == message["message_id"]:
            raise Refused(400, "Bad Request: CHAT_NOT_MODIFIED")
        chat.pinned = message["message_id"]
        chat.pins.append(params)
        # The bot hears of its own pin.
        notice = {
            "message_id": self.next_message(),
            "from": self.bot,
            "chat": chat.info,
            "date": int(time.time()),
            "pinned_message": message,
        }
        self.push({"message": notice})
        return True

    def unpin(self, params: Params) -> bool:
        """Unpin a message, the newest when none is named."""
        chat = self.chat(params)
        if not chat.may_pin:
            raise Refused(400, NO_PIN)
        if chat.pinned is None or int(params.get("message_id", chat.pinned)) != chat.pinned:
            raise Refused(400, "Bad Request: message to unpin not found")
        chat.pinned = None
        chat.pins.append(params)
        return True

    def action(self, params: Params) -> bool:
        """Show that the bot is typing, or so."""
        self.chat(params)
        self.actions.append(params)
        return True

    def answer(self, params: Params) -> bool:
        """Answer a press, once."""
        query = str(params.get("callback_query_id"))
        if len(str(params.get("text", ""))) > NOTICE_MAX:
            raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
        if query not in self.open_queries:
            raise Refused(
                400,
                "Bad Request: query is too old and response timeout expired or query ID is invalid",
            )
        self.open_queries.discard(query)
        self.answers.append({**params, "at": time.monotonic()})
        return True

    # ---- menus and webhook ----------------------------------------------------------------------

    def _scope(self, params: Params) -> str:
        scope = _json(params.get("scope")) or {"type": "default"}
        if scope["type"] == "chat":
            self.chat(scope)
        name = ":".join(str(scope[key]) for key in ("type", "chat_id") if key in scope)
        language = params.get("language_code")
        return f"{name}/{language}" if language else name

    def set_commands(self, params: Params) -> bool:
        """Set the menu of a scope."""
        self.menus[self._scope(params)] = _json(params.get("commands")) or []
        return True

    def get_commands(self, params: Params) -> list[dict[str, str]]:
        """Return the menu of a scope."""
        return self.menus.get(self._scope(params), [])

    def delete_commands(self, params: Params) -> bool:
        """Take the menu of a scope away."""
        self.menus.pop(self._scope(params), None)
        return True

    def set_webhook(self, params: Params) -> bool:
        """Set a webhook: getUpdates then refuses."""
        self.webhook = str(params.get("url", ""))
        return True

    def delete_webhook(self, params: Params) -> bool:
        """Remove the webhook."""
        del params
        self.webhook = ""
        return True


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else value


def _caption(said: Params) -> dict[str, Any]:
    if not said.get("caption"):
        return {}
    caption = _content({**said, "text": said["caption"]}, "text", "")
    if utf16(caption["text"]) > CAPTION_MAX:
        raise Refused(400, "Bad Request: message caption is too long")
    return {"caption": caption["text"], "caption_entities": caption["entities"]}


def _content(params: Params, name: str, empty: str) -> dict[str, Any]:
    raw = str(params.get(name, ""))
    if str(params.get("parse_mode", "")).upper() == "HTML":
        try:
            text, entities = parse(raw)
        except EntityError as error:
            raise Refused(400, f"Bad Request: {error}") from None
    else:
        text, entities = raw.strip(), commands(raw.strip(), [])
    if not text:
        raise Refused(400, empty)
    if utf16(text) > TEXT_MAX:
        raise Refused(400, "Bad Request: message is too long")
    return {"text": text, "entities": entities}


def _markup(params: Params) -> dict[str, Any] | None:
    markup = _json(params.get("reply_markup"))
    if not markup:
        return None
    rows = [row for row in markup.get("inline_keyboard", []) if row]
    for button in (button for row in rows for button in row):
        data = button.get("callback_data")
        if data is not None and not 1 <= len(str(data).encode()) <= DATA_MAX:
            raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
        if not button.get("text"):
            raise Refused(400, "Bad Request: can't parse inline keyboard button")
    return {"inline_keyboard": rows} if rows else None
