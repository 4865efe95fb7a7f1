#compdef clusterctl
# Completion of clusterctl for zsh. clusterctl itself knows its verbs, and the names of the running cluster.
_clusterctl() {
  local -a found
  found=(${(f)"$(clusterctl complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  (( $#found )) && compadd -- $found || _files
}
_clusterctl "$@"
