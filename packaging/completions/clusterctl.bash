# Completion of clusterctl for bash. clusterctl itself knows its verbs, and the names of the running cluster.
_clusterctl() {
  local current=${COMP_WORDS[COMP_CWORD]} words
  words=$(clusterctl complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$current" 2>/dev/null)
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _clusterctl clusterctl
