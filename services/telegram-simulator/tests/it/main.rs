//! The data centre as grammers, the client library of the Telegram service, sees it.

mod history;
mod support;
mod trouble;
