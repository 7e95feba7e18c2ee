"""The same export with Telethon: a JSON and a text file per channel.

usage: SESSION=... export.py FOLDER POSTS_PER_CHANNEL CHANNEL...
Prints posts and seconds.
"""

import asyncio
import json
import os
import sys
import time

from telethon import TelegramClient
from telethon.sessions import StringSession


def post(message, chat):
    media = "photo" if message.photo else "document" if message.document else None
    return {
        "message_id": message.id,
        "channel_id": chat.id,
        "channel_title": chat.title,
        "channel_username": chat.username,
        "text": message.message,
        "date": message.date.isoformat(),
        "sender_id": message.sender_id,
        "views": message.views,
        "forwards": message.forwards,
        "reply_to_msg_id": message.reply_to_msg_id,
        "media_type": media,
        "media_url": f"/media/{chat.id}/{message.id}" if media else None,
        "sync_type": "realtime",
    }


async def export(client, folder, name, limit):
    chat = await client.get_entity(name)
    count = 0
    with open(f"{folder}/{name}.json", "w") as out, open(f"{folder}/{name}.txt", "w") as text:
        out.write('{"posts":[')
        # wait_time=0: by default Telethon sleeps a second for every hundred posts.
        async for message in client.iter_messages(chat, limit=None, wait_time=0):
            if message.action:
                continue
            one = post(message, chat)
            out.write(("," if count else "") + json.dumps(one, ensure_ascii=False))
            text.write(
                f"ID: {one['message_id']}\nДата: {one['date']}\nКанал: {chat.title}\n"
                f"Просмотры: {one['views']}\nТекст: {one['text']}\n{'-' * 30}\n"
            )
            count += 1
            if count == limit:
                break
        out.write("]}")
        for file in (out, text):
            file.flush()
            os.fsync(file.fileno())
    return count


async def main():
    folder, limit, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    client = TelegramClient(StringSession(os.environ["SESSION"]), 1, "x", flood_sleep_threshold=0)
    await client.connect()
    await client.get_me()
    started = time.monotonic()
    count = 0
    for name in names:
        count += await export(client, folder, name, limit)
    print(count, time.monotonic() - started, flush=True)
    await client.disconnect()


asyncio.run(main())
