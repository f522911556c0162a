//! The catalogue of codes `PLUE-F…`: what is wrong with a delivery, a mirror or a forge's answer.
//!
//! A code never changes its meaning and is never used again; each has a page in `docs/errors/`.

plue_plan::error_codes! {
    BODY_TOO_LARGE = "PLUE-F0001", "a delivery is larger than the limit";
    BAD_SIGNATURE = "PLUE-F0002", "a delivery is not signed with a secret of this hook";
    NO_SECRET = "PLUE-F0003", "the hook has no secret, so that no delivery can be trusted";
    STALE_DELIVERY = "PLUE-F0004", "the signed timestamp of a delivery is too old or in the future";
    NOT_JSON = "PLUE-F0005", "the body of a delivery is no JSON object";
    NO_EVENT_NAME = "PLUE-F0006", "a delivery does not name its event";
    MISSING_FIELD = "PLUE-F0007", "a delivery lacks a field without which its event means nothing";
    GIT_FAILED = "PLUE-F0008", "git failed on the mirror of a repository";
    BAD_REMOTE = "PLUE-F0009", "the address of a repository is not one that plue fetches from";
    FORGE_REFUSED = "PLUE-F0010", "the forge refused a report of plue";
    OTHER_REPOSITORY = "PLUE-F0011", "a delivery is about a repository that its webhook does not serve";
    OTHER_IDENTITY = "PLUE-F0012", "the forge has another repository under the name of a watched one";
    NO_REF = "PLUE-F0013", "no ref of the repository leads to the commit of an event any more";
    NOT_A_WRITER = "PLUE-F0014", "a comment or issue of a person without write permission starts nothing";
    TOO_MUCH_TALK = "PLUE-F0015", "too many comments and issues of a repository wait to be looked at";
    BAD_SUBMODULE = "PLUE-F0021", "a submodule of the commit cannot be checked out";
    BAD_LFS = "PLUE-F0022", "a content of Git LFS cannot be checked out";
    GIT_TOO_LARGE = "PLUE-F0020", "a commit has more files, or longer texts, than plue reads";
}
