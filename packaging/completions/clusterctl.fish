# Completion of clusterctl for fish. clusterctl itself knows its verbs, and the names of the running cluster.
complete -c clusterctl -f -a '(clusterctl complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
