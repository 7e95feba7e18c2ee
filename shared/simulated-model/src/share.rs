/// What a draw from `[0, 1)` falls on when each thing has its share; `None` for the rest.
///
/// One draw decides among all of them, so that none of the shares depends on another.
pub fn by_share<T: Copy>(mut draw: f64, shares: &[(f64, T)]) -> Option<T> {
    for (share, thing) in shares {
        if draw < *share {
            return Some(*thing);
        }
        draw -= share;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_gets_its_share_and_the_rest_gets_nothing() {
        let shares = [(0.25, 'a'), (0.0, 'b'), (0.5, 'c')];
        let drawn: Vec<Option<char>> = [0.0, 0.2499, 0.25, 0.7499, 0.75, 0.99]
            .map(|draw| by_share(draw, &shares))
            .into();
        assert_eq!(
            drawn,
            [Some('a'), Some('a'), Some('c'), Some('c'), None, None]
        );
        assert_eq!(by_share(0.3, &[] as &[(f64, char)]), None);
    }
}
