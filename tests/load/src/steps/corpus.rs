//! Texts with facts, and questions whose answers are known.

/// Places that the texts are about.
const PLACES: [&str; 24] = [
    "Averholm",
    "Brackwater",
    "Cindermoor",
    "Dunhallow",
    "Eastfen",
    "Farrowgate",
    "Gullcrest",
    "Hartsmere",
    "Inkwell Bay",
    "Juniper Head",
    "Kestrel Point",
    "Larkspur",
    "Mossbridge",
    "Netherby",
    "Oakhaven",
    "Pellworth",
    "Quillport",
    "Ravensedge",
    "Saltmarsh",
    "Thornwick",
    "Umberfield",
    "Veldmoor",
    "Westerley",
    "Yarrowdale",
];

/// People in them.
const PEOPLE: [&str; 8] = [
    "Agnes Thorne",
    "Bertram Vale",
    "Clara Quist",
    "Dmitri Aldous",
    "Edith Marlow",
    "Felix Brandt",
    "Greta Holm",
    "Hugo Ferris",
];

/// A text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Name of the file.
    pub filename: String,
    /// What is in it.
    pub content: String,
    /// Questions, each with what its answer must hold.
    pub questions: Vec<(String, String)>,
}

/// The text of a number; the same for everybody, and different for different numbers.
pub fn text(number: usize) -> Text {
    let place = match number / PLACES.len() {
        0 => PLACES[number].to_owned(),
        round => format!("{} {}", PLACES[number % PLACES.len()], round + 1),
    };
    let year = 1702 + number * 13 % 290;
    let length = 180 + number * 37 % 700;
    let minutes = 11 + number * 7 % 43;
    let person = PEOPLE[number * 5 % PEOPLE.len()];
    let content = format!(
        "# The port of {place}\n\n\
         {place} is a small port on the northern coast.\n\n\
         The lighthouse of {place} was lit for the first time in {year}. \
         It stands on a rock that the tide covers twice a day.\n\n\
         The bridge of {place} is {length} metres long. Trains and people cross it on two levels.\n\n\
         The archive of {place} is kept by {person}. Visitors are asked to write before they come.\n\n\
         Ferries leave the harbour of {place} every {minutes} minutes. In winter the last one sails at dusk.\n"
    );
    let questions = vec![
        (
            format!("When was the lighthouse of {place} lit for the first time?"),
            year.to_string(),
        ),
        (
            format!("How long is the bridge of {place}?"),
            length.to_string(),
        ),
        (
            format!("Who keeps the archive of {place}?"),
            person.to_owned(),
        ),
        (
            format!("How often do ferries leave the harbour of {place}?"),
            minutes.to_string(),
        ),
    ];
    Text {
        filename: format!("port-{number:03}.md"),
        content,
        questions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_stands_in_its_text_and_texts_differ() {
        for number in 0..100 {
            let own = text(number);
            assert_eq!(own.questions.len(), 4);
            for (question, gold) in &own.questions {
                assert!(own.content.contains(gold), "{question}");
            }
            assert_ne!(own.content, text(number + 1).content);
        }
    }
}
