"""Telethon, a client that nobody here wrote, against the simulated data centre.

Every method's decoded object is compared with what the control API says is true. Usage:
SESSION=… telethon_check.py CONTROL_URL, both as `touchstone tg-sim` prints them
"""

import asyncio
import json
import os
import sys
import urllib.request

from telethon import TelegramClient, errors, events, functions, types
from telethon.crypto import rsa
from telethon.network import connection
from telethon.sessions import MemorySession, StringSession

CONTROL = sys.argv[1].rstrip("/")
CHECKS = []


def control(path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(CONTROL + path, data=data, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"{}")


def check(name):
    def register(function):
        CHECKS.append((name, function))
        return function

    return register


def same(what, got, wanted):
    assert got == wanted, f"{what}: got {got!r}, wanted {wanted!r}"


def compare(message, post):
    where = f"post {post['id']}"
    same(where, message.id, post["id"])
    same(where, message.message, post["text"])
    same(where, int(message.date.timestamp()), post["date"])
    same(where, message.views, post["views"])
    same(where, message.forwards, post["forwards"])
    same(where, message.grouped_id, post["grouped_id"])
    edit = int(message.edit_date.timestamp()) if message.edit_date else None
    same(where, edit, post["edit_date"])
    same(where, message.reply_to.reply_to_msg_id if message.reply_to else None, post["reply_to"])
    author = message.from_id.user_id if message.from_id else None
    same(where, author, post["author"])
    media = post["media"]
    if media is None:
        same(where, message.media, None)
    elif media["type"] == "photo":
        same(where, message.media.photo.id, media["id"])
        same(where, message.media.photo.sizes[0].size, media["size"])
    else:
        same(where, message.media.document.id, media["id"])
        same(where, message.media.document.mime_type, media["mime"])


def client(session, **more):
    # No waits of its own: what the server says must come out.
    return TelegramClient(session, 1, "x", flood_sleep_threshold=0, **more)


class World:
    def __init__(self, me):
        self.me = me
        self.overview = control("/")
        self.channels = control("/channels")

    def channel(self, wanted):
        return next(c for c in self.channels if wanted(c))

    @property
    def durov(self):
        return self.channel(lambda c: c["username"] == "durov")


@check("users.getUsers, users.getFullUser, help.getConfig, help.getNearestDc")
async def account(world):
    me = await world.me.get_me()
    assert me.phone in world.overview["phones"]
    full = await world.me(functions.users.GetFullUserRequest("me"))
    same("full user", full.full_user.id, me.id)
    config = await world.me(functions.help.GetConfigRequest())
    host, port = world.overview["address"].rsplit(":", 1)
    same("address", (config.dc_options[0].ip_address, config.dc_options[0].port), (host, int(port)))
    same("dc", (await world.me(functions.help.GetNearestDcRequest())).this_dc, 2)
    assert await world.me(functions.account.UpdateStatusRequest(offline=True))


@check("contacts.resolveUsername, contacts.search")
async def resolving(world):
    entity = await world.me.get_entity("durov")
    same("id", entity.id, world.durov["id"])
    same("title", entity.title, world.durov["title"])
    for name, error in (("nobody_there", errors.UsernameNotOccupiedError), ("a b", errors.UsernameInvalidError)):
        try:
            await world.me(functions.contacts.ResolveUsernameRequest(name))
            raise AssertionError(name)
        except error:
            pass
    found = await world.me(functions.contacts.SearchRequest("durov", 10))
    same("found", [chat.id for chat in found.chats], [world.durov["id"]])


@check("messages.getHistory: the whole history of every public channel, both directions")
async def history(world):
    for channel in world.channels:
        if channel["username"] is None:
            continue
        truth = control(f"/channels/{channel['id']}")
        wanted = {post["id"]: post for post in truth["posts"]}
        got = [m async for m in world.me.iter_messages(channel["username"], limit=None)]
        same("count", got and world.me and len(got), channel["count"])
        posts = [m for m in got if isinstance(m, types.Message)]
        posts = [m for m in posts if m.id not in truth["service"]]
        same("ids", [m.id for m in posts], sorted(wanted, reverse=True))
        for message in posts:
            compare(message, wanted[message.id])
    tail = [m.id async for m in world.me.iter_messages("durov", reverse=True, min_id=300, limit=None)]
    truth = control(f"/channels/{world.durov['id']}")
    same("reversed", tail, [p["id"] for p in truth["posts"] if p["id"] > 300])


@check("channels.getMessages, messages.getMessagesViews, messages.search, messages.getReplies")
async def messages(world):
    truth = control(f"/channels/{world.durov['id']}")
    wanted = {post["id"]: post for post in truth["posts"]}
    some = sorted(wanted)[10:20]
    hole = next(i for i in range(2, 468) if i not in wanted)
    got = await world.me.get_messages("durov", ids=some + [hole])
    for message, number in zip(got, some):
        compare(message, wanted[number])
    same("hole", got[-1], None)
    views = await world.me(functions.messages.GetMessagesViewsRequest("durov", some, False))
    same("views", [v.views for v in views.views], [wanted[i]["views"] for i in some])
    needle = "Severogorsk"
    found = [m.id async for m in world.me.iter_messages("durov", search=needle, limit=None)]
    same("search", found, sorted((i for i, p in wanted.items() if needle in p["text"]), reverse=True))
    group = world.channel(lambda c: c["group"] and c["username"])
    posts = control(f"/channels/{group['id']}")["posts"]
    answered = next(p["reply_to"] for p in posts if p["reply_to"] in {q["id"] for q in posts})
    replies = [m.id async for m in world.me.iter_messages(group["username"], reply_to=answered)]
    same("replies", replies, [p["id"] for p in reversed(posts) if p["reply_to"] == answered])


@check("channels.getChannels, getFullChannel, joinChannel, leaveChannel, readHistory, participants")
async def membership(world):
    entity = await world.me.get_input_entity("durov")
    chats = await world.me(functions.channels.GetChannelsRequest([entity]))
    same("title", chats.chats[0].title, world.durov["title"])
    full = await world.me(functions.channels.GetFullChannelRequest(entity))
    same("pts", full.full_chat.pts, world.durov["pts"])
    group = world.channel(lambda c: c["group"] and c["username"])
    people = [p async for p in world.me.iter_participants(group["username"])]
    assert len(people) >= 40, len(people)
    try:
        await world.me(functions.channels.GetParticipantRequest(entity, "me"))
        raise AssertionError("not a member")
    except errors.UserNotParticipantError:
        pass


@check("messages.getDialogs, getPeerDialogs")
async def dialogs(world):
    await join(world, "durov")
    got = [d async for d in world.me.iter_dialogs()]
    assert world.durov["id"] in [d.entity.id for d in got]
    peer = types.InputDialogPeer(await world.me.get_input_entity("durov"))
    one = await world.me(functions.messages.GetPeerDialogsRequest([peer]))
    same("top", one.dialogs[0].top_message, control(f"/channels/{world.durov['id']}")["posts"][-1]["id"])
    entity = await world.me.get_input_entity("durov")
    assert await world.me(functions.channels.ReadHistoryRequest(entity, 1))
    await world.me(functions.channels.GetParticipantRequest(entity, "me"))
    await world.me(functions.channels.LeaveChannelRequest(entity))


async def join(world, name):
    entity = await world.me.get_input_entity(name)
    joined = await world.me(functions.channels.JoinChannelRequest(entity))
    same("left", joined.chats[0].left, False)


@check("messages.checkChatInvite, importChatInvite; private channels")
async def invites(world):
    private = world.channel(lambda c: c["username"] is None)
    invite = await world.me(functions.messages.CheckChatInviteRequest(private["invite"]))
    same("title", invite.title, private["title"])
    joined = await world.me(functions.messages.ImportChatInviteRequest(private["invite"]))
    same("joined", joined.chats[0].id, private["id"])
    already = await world.me(functions.messages.CheckChatInviteRequest(private["invite"]))
    same("chat", already.chat.id, private["id"])
    for invite, error in (("gone0001", errors.InviteHashExpiredError), ("a/b", errors.InviteHashInvalidError)):
        try:
            await world.me(functions.messages.CheckChatInviteRequest(invite))
            raise AssertionError(invite)
        except error:
            pass


@check("upload.getFile")
async def files(world):
    truth = control(f"/channels/{world.durov['id']}")
    for kind in ("photo", "document"):
        post = next(p for p in truth["posts"] if p["media"] and p["media"]["type"] == kind)
        message = await world.me.get_messages("durov", ids=post["id"])
        data = await world.me.download_media(message, bytes)
        same("size", len(data), post["media"]["size"])
    control("/faults", {"kind": "file_references", "method": "upload.getFile"})
    document = message.media.document
    location = types.InputDocumentFileLocation(document.id, document.access_hash, document.file_reference, "")
    try:
        await world.me(functions.upload.GetFileRequest(location, 0, 4096))
        raise AssertionError("expired")
    except errors.FileReferenceExpiredError:
        pass


@check("updates: live posts, edits, deletions; updates.getDifference, getChannelDifference")
async def updates(world):
    await join(world, "durov")
    await world.me.catch_up()
    seen = asyncio.Queue()

    async def new(event):
        seen.put_nowait(("new", event.message.id, event.message.message))

    async def edited(event):
        seen.put_nowait(("edit", event.message.id, event.message.message))

    async def gone(event):
        seen.put_nowait(("gone", event.deleted_ids, ""))

    world.me.add_event_handler(new, events.NewMessage)
    world.me.add_event_handler(edited, events.MessageEdited)
    world.me.add_event_handler(gone, events.MessageDeleted)
    path = f"/channels/{world.durov['id']}/posts"
    first = control(path, {"text": "one"})["id"]
    same("new", await asyncio.wait_for(seen.get(), 60), ("new", first, "one"))
    control(f"{path}/{first}", {"text": "one, edited"})
    same("edit", await asyncio.wait_for(seen.get(), 60), ("edit", first, "one, edited"))
    control("/faults", {"kind": "drop_push"})
    second = control(path, {"text": "two, not pushed"})["id"]
    third = control(path, {"text": "three"})["id"]
    got = [await asyncio.wait_for(seen.get(), 60) for _ in range(2)]
    same("gap", sorted(got), [("new", second, "two, not pushed"), ("new", third, "three")])
    control(path, {"ids": [first]}, method="DELETE")
    same("gone", await asyncio.wait_for(seen.get(), 60), ("gone", [first], ""))
    state = await world.me(functions.updates.GetStateRequest())
    same("state", state.seq, 1)
    await world.me(functions.updates.GetDifferenceRequest(state.pts, state.date, state.qts))
    entity = await world.me.get_input_entity("durov")
    difference = await world.me(functions.updates.GetChannelDifferenceRequest(
        entity, types.ChannelMessagesFilterEmpty(), world.durov["pts"], 100))
    same("difference", [m.id for m in difference.new_messages], [second, third])
    same("pts", difference.pts, control(f"/channels/{world.durov['id']}")["channel"]["pts"])


@check("errors: FLOOD_WAIT with its seconds, 406, private channels")
async def flood(world):
    control("/faults", {"kind": "flood", "seconds": 17, "method": "users.getFullUser"})
    try:
        await world.me(functions.users.GetFullUserRequest("me"))
        raise AssertionError("no flood")
    except errors.FloodWaitError as error:
        same("seconds", error.seconds, 17)
    private = [c for c in world.channels if c["username"] is None][1]
    try:
        await world.me(functions.channels.GetFullChannelRequest(types.InputChannel(private["id"], 0)))
        raise AssertionError("not mine")
    except errors.ChannelInvalidError:
        pass


@check("every transport, and the handshake with our RSA key; auth.sendCode, signIn, logOut, export")
async def transports(world):
    rsa.add_key(world.overview["public_key"].encode(), old=False)
    host, port = world.overview["address"].rsplit(":", 1)
    for kind in (
        connection.ConnectionTcpFull,
        connection.ConnectionTcpAbridged,
        connection.ConnectionTcpIntermediate,
        connection.ConnectionTcpObfuscated,
    ):
        session = MemorySession()
        session.set_dc(2, host, int(port))
        fresh = client(session, connection=kind)
        await fresh.connect()
        assert not await fresh.is_user_authorized(), kind
        phone = world.overview["phones"][1]
        await fresh.send_code_request(phone)
        me = await fresh.sign_in(phone, world.overview["code"])
        same("phone", me.phone, phone)
        exported = await fresh(functions.auth.ExportAuthorizationRequest(2))
        imported = await fresh(functions.auth.ImportAuthorizationRequest(exported.id, exported.bytes))
        same("imported", imported.user.id, me.id)
        assert (await fresh.get_messages("durov", limit=3)).total > 0
        assert await fresh.log_out()
        await fresh.disconnect()
    secret = world.overview.get("proxy_secret")
    if secret:
        me = client(
            StringSession(world.overview["session"]),
            connection=connection.ConnectionTcpMTProxyRandomizedIntermediate,
            proxy=(host, int(port), secret),
        )
        await me.connect()
        assert await me.is_user_authorized()
        await me.disconnect()


async def main():
    me = client(StringSession(os.environ["SESSION"]))
    await me.connect()
    assert await me.is_user_authorized()
    world = World(me)
    failed = 0
    for name, function in CHECKS:
        try:
            await asyncio.wait_for(function(world), 300)
            print(f"ok      {name}")
        except Exception as error:  # every check is told, not the first alone
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}")
    called = {call["method"] for call in control("/calls") if call["outcome"] == "ok"}
    missing = sorted(set(world.overview["methods"]) - called)
    print(f"{len(called & set(world.overview['methods']))} of {len(world.overview['methods'])} methods answered")
    if missing:
        failed += 1
        print(f"FAILED  never answered: {', '.join(missing)}")
    await me.disconnect()
    sys.exit(1 if failed else 0)


asyncio.run(main())
