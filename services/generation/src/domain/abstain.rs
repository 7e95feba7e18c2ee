//! Saying that there is no answer, in the question's language.

use touchstone_text::{Language, detect};

/// The sentence that stands for an answer when the context holds none.
pub fn sentence(question: &str) -> &'static str {
    match detect(question) {
        Language::Ru => "В документах нет ответа на этот вопрос.",
        Language::De => "Die Dokumente beantworten diese Frage nicht.",
        Language::Fr => "Les documents ne répondent pas à cette question.",
        Language::Es => "Los documentos no responden a esta pregunta.",
        Language::It => "I documenti non rispondono a questa domanda.",
        Language::Pt => "Os documentos não respondem a esta pergunta.",
        Language::Nl => "De documenten beantwoorden deze vraag niet.",
        _ => "The documents do not answer this question.",
    }
}

/// What introduces the passages when the language model is out of reach.
pub fn passages_only(question: &str) -> &'static str {
    match detect(question) {
        Language::Ru => "Языковая модель недоступна. Вот что найдено в документах:",
        Language::De => "Das Sprachmodell ist nicht erreichbar. Gefundene Stellen:",
        Language::Fr => "Le modèle de langue est indisponible. Passages trouvés :",
        Language::Es => "El modelo de lenguaje no está disponible. Pasajes encontrados:",
        _ => "The language model is out of reach. These passages were found:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_the_language_of_the_question() {
        assert!(sentence("Кто основал город?").starts_with("В документах"));
        assert!(sentence("Who founded the city?").starts_with("The documents"));
        assert!(passages_only("Где это было?").contains("найдено"));
    }
}
