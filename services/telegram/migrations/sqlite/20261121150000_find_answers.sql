-- Which post a post answers, so that threads are found from both ends.
ALTER TABLE messages ADD COLUMN reply_to INTEGER;
UPDATE messages SET reply_to = json_extract(body, '$.reply_to_msg_id') WHERE body IS NOT NULL;
CREATE INDEX messages_by_reply ON messages (channel_id, reply_to) WHERE reply_to IS NOT NULL;
