# shellcheck shell=bash
# What a script does that cannot run here. The half in Rust is tests/kit/skip.rs.

# Says why something is skipped; false, so that the script ends, where MUST_RUN is set to anything
# but nothing or 0.
skip() { # REASON
    case ${MUST_RUN:-0} in
        0) echo "skipped: $1" ;;
        *)
            echo "it is skipped, and MUST_RUN is set: $1" >&2
            return 1
            ;;
    esac
}
