//! Who is calling: tokens, keys and their verification.
