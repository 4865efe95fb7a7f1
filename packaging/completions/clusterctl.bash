# Completion of clusterctl for bash: verbs, nodes and services as the running daemon knows them.
_clusterctl() {
  local current=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words="" status
  if ((COMP_CWORD == 1)); then
    words="status why events move standby online start resync stop-services check mirror diverged backups replay whatif keygen config-lines --help --version"
  else
    status=$(clusterctl status --json 2>/dev/null)
    case $verb in
      mirror) ((COMP_CWORD == 2)) && words="status run confirm" ;;
      backups) ((COMP_CWORD == 2)) && words="list show restore confirm purge" ;;
      diverged) ((COMP_CWORD == 2)) && words="accept" ;;
      status) words="--json --watch --exit-code" ;;
      events) words="--follow --after --json" ;;
      check) words="--json --local --deep" ;;
      replay) words="--from --decisions --json $(compgen -f -- "$current")" ;;
      whatif) words="--faults --json" ;;
      start) words="--force" ;;
    esac
    if [[ -n $status && -z $words ]] && command -v jq >/dev/null; then
      case $verb in
        standby | online) words=$(jq -r '.nodes | keys[]' <<<"$status") ;;
        move) words=$(if ((COMP_CWORD == 2)); then jq -r '.services[].name' <<<"$status"; else jq -r '.nodes | keys[]' <<<"$status"; fi) ;;
        *) words=$(jq -r '.services[].name' <<<"$status") ;;
      esac
    fi
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _clusterctl clusterctl
