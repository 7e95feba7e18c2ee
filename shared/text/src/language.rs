use std::fmt;

use rust_stemmers::Algorithm;

macro_rules! languages {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $alpha3:literal),+ $(,)?) => {
        /// A language that a text may be written in.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Language {
            $($(#[$doc])* $name,)+
            /// Not known, or not one of the others.
            #[default]
            Unknown,
        }

        impl Language {
            /// Every language that has a name here.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// ISO 639-1 code; `und` when unknown.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ Self::Unknown => "und" }
            }

            /// The language of an ISO 639-1 or 639-3 code in any case, a region is ignored
            /// (`en-GB`); [`Language::Unknown`] for everything else.
            pub fn from_code(code: &str) -> Self {
                let code = code.split(['-', '_']).next().unwrap_or_default();
                $(if code.eq_ignore_ascii_case($code) || code.eq_ignore_ascii_case($alpha3) {
                    return Self::$name;
                })+
                Self::Unknown
            }
        }
    };
}

languages! {
    /// Arabic.
    Ar = "ar", "ara",
    /// Danish.
    Da = "da", "dan",
    /// German.
    De = "de", "deu",
    /// Greek.
    El = "el", "ell",
    /// English.
    En = "en", "eng",
    /// Spanish.
    Es = "es", "spa",
    /// Finnish.
    Fi = "fi", "fin",
    /// French.
    Fr = "fr", "fra",
    /// Hungarian.
    Hu = "hu", "hun",
    /// Italian.
    It = "it", "ita",
    /// Japanese; not stemmed.
    Ja = "ja", "jpn",
    /// Korean; not stemmed.
    Ko = "ko", "kor",
    /// Dutch.
    Nl = "nl", "nld",
    /// Norwegian (bokmål).
    No = "no", "nob",
    /// Polish; not stemmed.
    Pl = "pl", "pol",
    /// Portuguese.
    Pt = "pt", "por",
    /// Romanian.
    Ro = "ro", "ron",
    /// Russian.
    Ru = "ru", "rus",
    /// Swedish.
    Sv = "sv", "swe",
    /// Tamil.
    Ta = "ta", "tam",
    /// Turkish.
    Tr = "tr", "tur",
    /// Ukrainian; not stemmed.
    Uk = "uk", "ukr",
    /// Chinese; not stemmed.
    Zh = "zh", "cmn",
}

impl Language {
    pub(crate) const fn algorithm(self) -> Option<Algorithm> {
        Some(match self {
            Self::Ar => Algorithm::Arabic,
            Self::Da => Algorithm::Danish,
            Self::De => Algorithm::German,
            Self::El => Algorithm::Greek,
            Self::En => Algorithm::English,
            Self::Es => Algorithm::Spanish,
            Self::Fi => Algorithm::Finnish,
            Self::Fr => Algorithm::French,
            Self::Hu => Algorithm::Hungarian,
            Self::It => Algorithm::Italian,
            Self::Nl => Algorithm::Dutch,
            Self::No => Algorithm::Norwegian,
            Self::Pt => Algorithm::Portuguese,
            Self::Ro => Algorithm::Romanian,
            Self::Ru => Algorithm::Russian,
            Self::Sv => Algorithm::Swedish,
            Self::Ta => Algorithm::Tamil,
            Self::Tr => Algorithm::Turkish,
            Self::Ja | Self::Ko | Self::Pl | Self::Uk | Self::Zh | Self::Unknown => return None,
        })
    }

    /// Whether the language is written in Cyrillic letters.
    pub const fn is_cyrillic(self) -> bool {
        matches!(self, Self::Ru | Self::Uk)
    }

    /// Whether the language is written in Latin letters.
    pub const fn is_latin(self) -> bool {
        !matches!(
            self,
            Self::Ar
                | Self::El
                | Self::Ja
                | Self::Ko
                | Self::Ru
                | Self::Ta
                | Self::Uk
                | Self::Zh
                | Self::Unknown
        )
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for language in Language::ALL {
            assert_eq!(Language::from_code(language.code()), *language);
        }
        assert_eq!(Language::from_code("RU-ru"), Language::Ru);
        assert_eq!(Language::from_code("eng"), Language::En);
        assert_eq!(Language::from_code("und"), Language::Unknown);
        assert_eq!(Language::from_code(""), Language::Unknown);
    }
}
