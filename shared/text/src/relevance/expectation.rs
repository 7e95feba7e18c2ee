use crate::normalize;
use crate::word::words;

/// What kind of thing a question asks for, as far as its words tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Expectation {
    /// A count or a measure: "how many", «сколько».
    Number,
    /// A time: "when", "what year", «когда», «в каком году».
    Time,
    /// A person or a body: "who", «кто».
    Name,
    /// A place: "where", «где».
    Place,
    /// Nothing in particular.
    #[default]
    Anything,
}

impl Expectation {
    /// Reads the kind off the words of a question, Russian and English.
    pub fn of(question: &str) -> Self {
        let words: Vec<String> = words(question).map(|word| normalize(word.text)).collect();
        let has = |word: &str| words.iter().any(|w| w == word);
        let pair = |first: &[&str], second: &[&str]| {
            words
                .windows(2)
                .any(|pair| first.contains(&pair[0].as_str()) && second.contains(&pair[1].as_str()))
        };
        let times = [
            "year",
            "years",
            "date",
            "day",
            "month",
            "century",
            "decade",
            "time",
            "году",
            "год",
            "веке",
            "век",
            "дату",
            "дата",
            "день",
            "месяце",
            "период",
        ];
        if pair(
            &["what", "which", "каком", "какой", "какую", "какая"],
            &times,
        ) || has("when")
            || has("когда")
        {
            return Self::Time;
        }
        if pair(
            &["how"],
            &[
                "many", "much", "large", "long", "tall", "old", "far", "big", "often", "fast",
                "high", "deep",
            ],
        ) || has("сколько")
            || has("percentage")
            || has("процент")
        {
            return Self::Number;
        }
        if [
            "who", "whom", "whose", "кто", "кого", "кем", "кому", "чей", "чья",
        ]
        .iter()
        .any(|w| has(w))
        {
            return Self::Name;
        }
        if ["where", "где", "куда", "откуда"].iter().any(|w| has(w)) {
            return Self::Place;
        }
        Self::Anything
    }

    /// Whether a sentence holds something of this kind that the question does not already name.
    ///
    /// `is_asked` tells whether a word of the sentence is one of the question's terms.
    pub fn is_met(self, sentence: &str, mut is_asked: impl FnMut(&str) -> bool) -> bool {
        match self {
            Self::Anything => true,
            Self::Number => words(sentence).any(|word| {
                (word.text.bytes().any(|b| b.is_ascii_digit())
                    || NUMERALS.contains(&normalize(word.text).as_str()))
                    && !is_asked(word.text)
            }),
            Self::Time => words(sentence).any(|word| {
                let digits = word.text.bytes().filter(u8::is_ascii_digit).count();
                (digits >= 3 || TIMES.contains(&normalize(word.text).as_str()))
                    && !is_asked(word.text)
            }),
            Self::Name | Self::Place => words(sentence).enumerate().any(|(at, word)| {
                at > 0
                    && word.text.chars().next().is_some_and(char::is_uppercase)
                    && !is_asked(word.text)
            }),
        }
    }
}

const NUMERALS: &[&str] = &[
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "fifteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "hundred",
    "thousand",
    "million",
    "billion",
    "trillion",
    "half",
    "third",
    "quarter",
    "dozen",
    "один",
    "одна",
    "два",
    "две",
    "три",
    "четыре",
    "пять",
    "шесть",
    "семь",
    "восемь",
    "девять",
    "десять",
    "двух",
    "трех",
    "четырех",
    "пяти",
    "шести",
    "семи",
    "восьми",
    "десяти",
    "двадцать",
    "тридцать",
    "сто",
    "сотни",
    "тысяча",
    "тысяч",
    "тысячи",
    "миллион",
    "миллиона",
    "миллионов",
    "миллиард",
    "миллиарда",
    "миллиардов",
    "половина",
    "треть",
    "четверть",
    "дюжина",
];

const TIMES: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "century",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
    "январе",
    "феврале",
    "марте",
    "апреле",
    "мае",
    "июне",
    "июле",
    "августе",
    "сентябре",
    "октябре",
    "ноябре",
    "декабре",
    "веке",
    "века",
    "век",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_asked_for() {
        for (question, expected) in [
            ("How many points did they score?", Expectation::Number),
            ("In what year was it built?", Expectation::Time),
            ("When did it start?", Expectation::Time),
            ("Кто написал роман?", Expectation::Name),
            ("Где находится музей?", Expectation::Place),
            ("В каком году началась война?", Expectation::Time),
            ("What is photosynthesis?", Expectation::Anything),
        ] {
            assert_eq!(Expectation::of(question), expected, "{question}");
        }
    }

    #[test]
    fn what_the_question_names_is_no_answer() {
        let asked = |word: &str| word == "1990";
        assert!(!Expectation::Time.is_met("It happened in 1990.", asked));
        assert!(Expectation::Time.is_met("It happened in 1990, not in 1991.", asked));
    }
}
