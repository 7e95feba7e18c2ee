use std::collections::HashMap;
use std::sync::LazyLock;

use crate::{Language, normalize};

/// The languages that have a word among their function words: bit `n` stands for the `n`th list.
static HOLDERS: LazyLock<HashMap<&str, u32>> = LazyLock::new(|| {
    let mut holders = HashMap::new();
    for (place, (_, list)) in STOPWORDS.iter().enumerate() {
        for word in *list {
            *holders.entry(*word).or_default() |= 1 << place;
        }
    }
    holders
});

/// Function words by language, each list sorted by bytes.
pub(crate) static STOPWORDS: &[(Language, &[&str])] = &[
    (Language::Ru, &RU),
    (Language::En, &EN),
    (Language::De, &DE),
    (Language::Fr, &FR),
    (Language::Es, &ES),
    (Language::It, &IT),
    (Language::Pt, &PT),
    (Language::Nl, &NL),
    (Language::Sv, &SV),
    (Language::Da, &DA),
    (Language::No, &NO),
    (Language::Pl, &PL),
    (Language::Fi, &FI),
    (Language::Tr, &TR),
    (Language::Ro, &RO),
    (Language::Hu, &HU),
];

/// Whether a word says nothing by itself in its language: articles, pronouns, question words.
///
/// Languages without a list here have no stopwords.
pub fn is_stopword(word: &str, language: Language) -> bool {
    STOPWORDS
        .iter()
        .find(|(candidate, _)| *candidate == language)
        .is_some_and(|(_, list)| contains(list, &normalize(word)))
}

/// Places of the lists in [`STOPWORDS`] that a normalized word is in.
pub(crate) fn lists_with(normalized: &str) -> impl Iterator<Item = usize> {
    let holders = HOLDERS.get(normalized).copied().unwrap_or_default();
    (0..STOPWORDS.len()).filter(move |place| holders & (1 << place) != 0)
}

pub(crate) fn contains(list: &[&str], normalized: &str) -> bool {
    list.binary_search(&normalized).is_ok()
}

#[rustfmt::skip]
static RU: [&str; 201] = [
    "а", "без", "более", "больше", "будет", "будто", "бы", "был", "была", "были", "было", "быть",
    "в", "вам", "вас", "ваш", "ведь", "весь", "во", "вот", "впрочем", "все", "всегда", "всего",
    "всех", "всю", "вы", "г", "где", "д", "да", "даже", "два", "для", "до", "др", "другой", "его",
    "ее", "ей", "ему", "если", "есть", "еще", "ж", "же", "за", "зачем", "здесь", "и", "из", "или",
    "им", "иногда", "их", "к", "каждый", "как", "какая", "какие", "каким", "какими", "каких",
    "какого", "какой", "каком", "какую", "кем", "когда", "кого", "кому", "которая", "которого",
    "которой", "котором", "которую", "которые", "который", "которых", "кто", "куда", "ли", "либо",
    "лучше", "между", "меня", "мне", "много", "может", "можно", "мой", "моя", "мы", "на", "над",
    "надо", "наконец", "нас", "наш", "не", "него", "нее", "ней", "нельзя", "нет", "ни", "нибудь",
    "никогда", "ним", "них", "ничего", "но", "ну", "о", "об", "один", "однако", "он", "она",
    "они", "оно", "опять", "от", "п", "перед", "по", "под", "после", "потом", "потому", "почему",
    "почти", "при", "про", "раз", "разве", "с", "сам", "свое", "своего", "своей", "свои", "своих",
    "свою", "себе", "себя", "сейчас", "сколько", "со", "совсем", "т", "так", "такая", "также",
    "такие", "такой", "там", "тебя", "тем", "теперь", "то", "тогда", "того", "тоже", "той",
    "только", "том", "тот", "тою", "три", "тут", "ты", "у", "уж", "уже", "хорошо", "хоть", "чего",
    "чей", "чем", "чему", "через", "что", "чтоб", "чтобы", "чуть", "чьи", "чья", "эта", "эти",
    "этим", "этих", "это", "этого", "этой", "этом", "этот", "эту", "я", "является", "являются",
];

#[rustfmt::skip]
static EN: [&str; 155] = [
    "a", "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are",
    "aren't", "as", "at", "be", "because", "been", "before", "being", "below", "between", "both",
    "but", "by", "can", "cannot", "could", "couldn't", "did", "didn't", "do", "does", "doesn't",
    "doing", "don't", "down", "during", "each", "either", "for", "from", "further", "had",
    "hadn't", "has", "hasn't", "have", "haven't", "having", "he", "her", "here", "hers",
    "herself", "him", "himself", "his", "how", "however", "i", "if", "in", "into", "is", "isn't",
    "it", "it's", "its", "itself", "just", "may", "me", "might", "more", "most", "must", "my",
    "myself", "no", "nor", "not", "of", "off", "on", "once", "only", "onto", "or", "other", "our",
    "ours", "ourselves", "out", "over", "own", "per", "same", "she", "should", "shouldn't",
    "since", "so", "some", "such", "than", "that", "that's", "the", "their", "theirs", "them",
    "themselves", "then", "there", "these", "they", "this", "those", "through", "to", "too",
    "under", "until", "unto", "up", "upon", "very", "was", "wasn't", "we", "were", "weren't",
    "what", "when", "where", "whether", "which", "while", "who", "whom", "whose", "why", "will",
    "with", "within", "without", "won't", "would", "wouldn't", "you", "your", "yours", "yourself",
    "yourselves",
];

#[rustfmt::skip]
static DE: [&str; 131] = [
    "aber", "alle", "als", "also", "am", "an", "auch", "auf", "aus", "bei", "bin", "bis", "bist",
    "da", "damit", "dann", "das", "dass", "daß", "dein", "dem", "den", "der", "des", "dessen",
    "die", "dies", "diese", "diesem", "diesen", "dieser", "dieses", "doch", "dort", "du", "durch",
    "ein", "eine", "einem", "einen", "einer", "eines", "er", "es", "euer", "für", "hat", "hatte",
    "hatten", "hier", "hinter", "ich", "ihr", "ihre", "ihrem", "ihren", "ihrer", "im", "in",
    "ist", "ja", "jede", "jedem", "jeden", "jeder", "jedes", "kann", "kein", "keine", "können",
    "machen", "mein", "mit", "muss", "nach", "nicht", "noch", "nun", "nur", "ob", "oder", "ohne",
    "sehr", "sein", "seine", "seinem", "seinen", "seiner", "sich", "sie", "sind", "so", "solche",
    "soll", "um", "und", "uns", "unser", "unter", "vom", "von", "vor", "wann", "war", "waren",
    "warum", "was", "weil", "weiter", "welche", "welcher", "welches", "wem", "wen", "wenn", "wer",
    "werde", "werden", "wessen", "wie", "wieder", "will", "wir", "wird", "wo", "wurde", "wurden",
    "zu", "zum", "zur", "über",
];

#[rustfmt::skip]
static FR: [&str; 86] = [
    "au", "aux", "avec", "c'est", "ce", "ces", "cet", "cette", "comment", "d'un", "d'une", "dans",
    "de", "des", "du", "elle", "elles", "en", "est", "et", "eu", "eux", "fut", "il", "ils", "je",
    "la", "le", "les", "leur", "leurs", "lui", "ma", "mais", "me", "mes", "mon", "même", "ne",
    "nos", "notre", "nous", "on", "ont", "ou", "où", "par", "pas", "plus", "pour", "pourquoi",
    "qu", "qu'il", "quand", "que", "quel", "quelle", "quelles", "quels", "qui", "sa", "sans",
    "se", "ses", "si", "son", "sont", "sous", "sur", "ta", "te", "tes", "ton", "tu", "un", "une",
    "vos", "votre", "vous", "y", "à", "étaient", "était", "étant", "été", "être",
];

#[rustfmt::skip]
static ES: [&str; 87] = [
    "a", "al", "algo", "ante", "antes", "como", "con", "contra", "cual", "cuando", "cuál",
    "cuándo", "cómo", "de", "del", "desde", "donde", "durante", "dónde", "e", "el", "ella",
    "ellas", "ellos", "en", "entre", "era", "eran", "es", "esa", "ese", "eso", "esta", "este",
    "esto", "estos", "está", "fue", "fueron", "ha", "han", "hasta", "hay", "la", "las", "le",
    "les", "lo", "los", "me", "mi", "muy", "más", "no", "nos", "o", "otra", "otro", "para",
    "pero", "por", "porque", "que", "quien", "quién", "qué", "se", "sea", "ser", "si", "sin",
    "sobre", "son", "su", "sus", "también", "tan", "tiene", "tu", "un", "una", "uno", "unos", "y",
    "ya", "yo", "él",
];

#[rustfmt::skip]
static IT: [&str; 93] = [
    "a", "ad", "agli", "ai", "al", "alla", "alle", "anche", "c'è", "che", "chi", "ci", "come",
    "con", "cui", "da", "dagli", "dai", "dal", "dalla", "dalle", "degli", "dei", "del", "dell",
    "della", "delle", "di", "dove", "e", "ed", "era", "erano", "essere", "fu", "gli", "ha",
    "hanno", "i", "il", "in", "io", "la", "le", "lei", "li", "lo", "loro", "lui", "ma", "mi",
    "ne", "negli", "nei", "nel", "nella", "nelle", "noi", "non", "o", "per", "perché", "più",
    "quale", "quali", "quando", "quanto", "quella", "quello", "questa", "queste", "questi",
    "questo", "se", "si", "sono", "stata", "stato", "su", "sua", "sue", "sugli", "sui", "sul",
    "sulla", "suo", "suoi", "tra", "un", "una", "uno", "voi", "è",
];

#[rustfmt::skip]
static PT: [&str; 85] = [
    "a", "ao", "aos", "as", "até", "com", "como", "da", "das", "de", "dela", "dele", "do", "dos",
    "e", "ela", "elas", "ele", "eles", "em", "entre", "era", "eram", "essa", "esse", "esta",
    "este", "está", "foi", "foram", "há", "isso", "isto", "já", "mais", "mas", "me", "mesmo",
    "meu", "minha", "muito", "na", "nas", "nem", "no", "nos", "num", "numa", "não", "nós", "o",
    "onde", "os", "ou", "para", "pela", "pelas", "pelo", "pelos", "por", "porque", "quais",
    "qual", "quando", "quanto", "que", "quem", "se", "sem", "ser", "seu", "seus", "sua", "suas",
    "são", "só", "também", "te", "tem", "um", "uma", "você", "à", "às", "é",
];

#[rustfmt::skip]
static NL: [&str; 98] = [
    "aan", "al", "alles", "als", "bij", "daar", "dan", "dat", "de", "der", "deze", "die", "dit",
    "doch", "doen", "door", "dus", "een", "en", "er", "ge", "geen", "haar", "had", "heb",
    "hebben", "heeft", "hem", "het", "hier", "hij", "hoe", "hun", "ik", "in", "is", "ja", "je",
    "kan", "kon", "maar", "me", "meer", "men", "met", "mij", "mijn", "moet", "na", "naar", "niet",
    "niets", "nog", "nu", "of", "om", "omdat", "ons", "ook", "op", "over", "te", "tegen", "toch",
    "toen", "tot", "u", "uit", "uw", "van", "veel", "voor", "waar", "waarom", "wanneer", "want",
    "waren", "was", "wat", "we", "wel", "welke", "werd", "wezen", "wie", "wij", "wil", "worden",
    "wordt", "zal", "ze", "zelf", "zich", "zij", "zijn", "zo", "zonder", "zou",
];

#[rustfmt::skip]
static SV: [&str; 92] = [
    "alla", "att", "av", "blev", "bli", "blir", "de", "dem", "den", "denna", "deras", "dess",
    "det", "detta", "dig", "din", "ditt", "du", "där", "då", "efter", "ej", "eller", "en", "er",
    "ett", "från", "för", "ha", "hade", "han", "hans", "har", "henne", "hon", "honom", "hur",
    "här", "i", "icke", "inom", "inte", "jag", "ju", "kan", "kunde", "man", "med", "mellan",
    "men", "mig", "min", "mitt", "mot", "mycket", "ni", "nu", "när", "någon", "något", "några",
    "och", "om", "oss", "på", "samma", "sedan", "sig", "sin", "sina", "sitt", "skulle", "som",
    "så", "till", "under", "upp", "ut", "utan", "vad", "var", "vara", "varför", "vars", "vem",
    "vi", "vid", "vilka", "vilken", "vilket", "är", "över",
];

#[rustfmt::skip]
static DA: [&str; 85] = [
    "af", "alle", "andet", "at", "blev", "blevet", "bliver", "da", "de", "dem", "den", "denne",
    "der", "deres", "det", "dette", "dig", "din", "disse", "dog", "du", "efter", "eller", "en",
    "end", "er", "et", "for", "fra", "ham", "han", "hans", "har", "havde", "hende", "her", "hos",
    "hun", "hvad", "hvem", "hvilken", "hvilket", "hvis", "hvor", "hvordan", "hvorfor", "hvornår",
    "i", "ikke", "ind", "jeg", "jo", "kan", "kunne", "man", "med", "meget", "men", "mig", "min",
    "mod", "ned", "noget", "nogle", "nu", "når", "og", "også", "om", "op", "os", "over", "på",
    "sig", "sin", "skal", "som", "så", "til", "ud", "under", "var", "vi", "vil", "være",
];

#[rustfmt::skip]
static NO: [&str; 83] = [
    "alle", "at", "av", "ble", "bli", "blir", "da", "de", "deg", "dem", "den", "denne", "der",
    "deres", "det", "dette", "din", "disse", "du", "eller", "en", "enn", "er", "et", "etter",
    "for", "fordi", "fra", "ha", "hadde", "ham", "han", "hans", "har", "hennes", "her", "hun",
    "hva", "hvem", "hvilken", "hvilket", "hvis", "hvor", "hvordan", "hvorfor", "i", "ikke", "inn",
    "jeg", "kan", "kunne", "man", "med", "meg", "meget", "men", "min", "mot", "ned", "noe",
    "noen", "nå", "når", "og", "også", "om", "opp", "oss", "over", "på", "seg", "sin", "skal",
    "som", "så", "til", "under", "ut", "var", "vi", "vil", "være", "vært",
];

#[rustfmt::skip]
static PL: [&str; 93] = [
    "aby", "ale", "bardzo", "bez", "być", "był", "była", "było", "były", "ci", "co", "czy",
    "czym", "dla", "dlaczego", "do", "gdy", "gdzie", "go", "i", "ich", "ile", "im", "innych",
    "ja", "jak", "jaka", "jaki", "jakie", "jako", "jego", "jej", "jest", "jestem", "jeszcze",
    "jeśli", "już", "kiedy", "kto", "która", "które", "który", "których", "ma", "mi", "mnie",
    "może", "mu", "my", "na", "nad", "nas", "nich", "nie", "niej", "o", "od", "on", "ona", "one",
    "oni", "oraz", "po", "pod", "przed", "przez", "przy", "się", "sobie", "są", "ta", "tak",
    "także", "tam", "te", "tego", "tej", "ten", "to", "tu", "ty", "tych", "tylko", "tym", "u",
    "w", "we", "wszystko", "z", "za", "ze", "że", "żeby",
];

#[rustfmt::skip]
static FI: [&str; 60] = [
    "ei", "eivät", "emme", "en", "että", "he", "heidän", "hän", "hänen", "häntä", "ja", "jo",
    "johon", "joissa", "joka", "jonka", "jos", "jotka", "kanssa", "keitä", "kenen", "ketkä",
    "kuin", "kuka", "kun", "me", "mikä", "milloin", "minun", "minä", "missä", "miten", "mitä",
    "mutta", "myös", "ne", "niin", "nyt", "ole", "olen", "oli", "olivat", "olla", "on", "ovat",
    "se", "sekä", "sen", "siinä", "sitä", "tai", "te", "tuo", "tämä", "tämän", "tässä", "vaan",
    "vai", "vaikka", "voi",
];

#[rustfmt::skip]
static TR: [&str; 47] = [
    "ama", "ancak", "bir", "biz", "bu", "bunu", "da", "daha", "de", "değil", "diye", "en", "gibi",
    "göre", "hangi", "hem", "her", "hiç", "ile", "ise", "için", "kadar", "ki", "kim", "mi", "mı",
    "nasıl", "ne", "neden", "nedir", "nerede", "o", "olan", "olarak", "oldu", "olduğu", "onlar",
    "onun", "sonra", "tarafından", "var", "ve", "veya", "ya", "yok", "zaman", "şu",
];

#[rustfmt::skip]
static RO: [&str; 53] = [
    "a", "această", "acest", "ai", "al", "ale", "am", "ar", "are", "au", "ca", "care", "ce",
    "cel", "cele", "cine", "cu", "cum", "când", "cât", "da", "dar", "de", "din", "după", "ea",
    "ei", "el", "este", "eu", "fi", "fost", "la", "lui", "mai", "nu", "o", "pe", "pentru", "prin",
    "sa", "sale", "sau", "se", "si", "sunt", "un", "unde", "unei", "unui", "în", "într", "și",
];

#[rustfmt::skip]
static HU: [&str; 57] = [
    "a", "aki", "amely", "ami", "az", "csak", "de", "egy", "el", "első", "ez", "ezt", "fel", "ha",
    "hogy", "hogyan", "hol", "ide", "is", "ismét", "itt", "jó", "kell", "ki", "lesz", "lett",
    "ma", "meg", "mely", "mert", "mi", "mikor", "minden", "mint", "miért", "most", "már", "még",
    "nagy", "nem", "néha", "olyan", "pedig", "s", "sem", "szerint", "utolsó", "után", "vagy",
    "van", "vannak", "vele", "volt", "voltak", "és", "így", "össze",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_normalised() {
        for (language, list) in STOPWORDS {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{language}");
            assert!(
                list.iter().all(|word| normalize(word) == *word),
                "{language}"
            );
        }
    }

    #[test]
    fn knows_function_words() {
        assert!(is_stopword("The", Language::En));
        assert!(is_stopword("Её", Language::Ru));
        assert!(!is_stopword("river", Language::En));
        assert!(!is_stopword("the", Language::Ru));
    }
}
