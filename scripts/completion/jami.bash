# Completion of the jami command for bash.
_jami() {
  local words=() word skip=
  for word in "${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case $word in
      --account | --archive | --bootstrap | --bus | --conversation | --count | --from | --name | --password | --play | --record | --reply-to | --seconds | --set | --timeout | --title | --to | --turn | -a) skip=1 ;;
      -*) ;;
      *) words+=("$word") ;;
    esac
  done
  case "${words[*]:0:2}" in
    "account list") local choices="-h --help --account -a --bus --json --timeout" ;;
    "account add") local choices="-h --help --name --password --archive --bootstrap --turn --set --wait --account -a --bus --json --timeout" ;;
    "account show") local choices="-h --help --volatile --account -a --bus --json --timeout" ;;
    "account set") local choices="-h --help --account -a --bus --json --timeout" ;;
    "account enable") local choices="-h --help --account -a --bus --json --timeout" ;;
    "account disable") local choices="-h --help --account -a --bus --json --timeout" ;;
    "account wait") local choices="-h --help --account -a --bus --json --timeout" ;;
    "account export") local choices="-h --help --password --account -a --bus --json --timeout" ;;
    "account devices") local choices="-h --help --account -a --bus --json --timeout" ;;
    "account remove") local choices="-h --help --yes --account -a --bus --json --timeout" ;;
    "account"*) local choices="list add show set enable disable wait export devices remove" ;;
    "name lookup") local choices="-h --help --account -a --bus --json --timeout" ;;
    "name of") local choices="-h --help --account -a --bus --json --timeout" ;;
    "name register") local choices="-h --help --password --account -a --bus --json --timeout" ;;
    "name"*) local choices="lookup of register" ;;
    "contact list") local choices="-h --help --account -a --bus --json --timeout" ;;
    "contact add") local choices="-h --help --wait --account -a --bus --json --timeout" ;;
    "contact remove") local choices="-h --help --block --account -a --bus --json --timeout" ;;
    "contact requests") local choices="-h --help --account -a --bus --json --timeout" ;;
    "contact accept") local choices="-h --help --account -a --bus --json --timeout" ;;
    "contact decline") local choices="-h --help --account -a --bus --json --timeout" ;;
    "contact"*) local choices="list add remove requests accept decline" ;;
    "conversation list") local choices="-h --help --account -a --bus --json --timeout" ;;
    "conversation create") local choices="-h --help --title --account -a --bus --json --timeout" ;;
    "conversation members") local choices="-h --help --account -a --bus --json --timeout" ;;
    "conversation invite") local choices="-h --help --account -a --bus --json --timeout" ;;
    "conversation kick") local choices="-h --help --account -a --bus --json --timeout" ;;
    "conversation leave") local choices="-h --help --account -a --bus --json --timeout" ;;
    "conversation"*) local choices="list create members invite kick leave" ;;
    "presence show") local choices="-h --help --account -a --bus --json --timeout" ;;
    "presence follow") local choices="-h --help --account -a --bus --json --timeout" ;;
    "presence"*) local choices="show follow" ;;
    "message send") local choices="-h --help --reply-to --account -a --bus --json --timeout" ;;
    "message edit") local choices="-h --help --account -a --bus --json --timeout" ;;
    "message react") local choices="-h --help --account -a --bus --json --timeout" ;;
    "message list") local choices="-h --help --count --account -a --bus --json --timeout" ;;
    "message follow") local choices="-h --help --text --account -a --bus --json --timeout" ;;
    "message search") local choices="-h --help --conversation --account -a --bus --json --timeout" ;;
    "message export") local choices="-h --help --account -a --bus --json --timeout" ;;
    "message"*) local choices="send edit react list follow search export" ;;
    "file send") local choices="-h --help --name --wait --account -a --bus --json --timeout" ;;
    "file list") local choices="-h --help --account -a --bus --json --timeout" ;;
    "file get") local choices="-h --help --to --account -a --bus --json --timeout" ;;
    "file"*) local choices="send list get" ;;
    "call place") local choices="-h --help --play --record --seconds --account -a --bus --json --timeout" ;;
    "call answer") local choices="-h --help --from --forever --play --record --seconds --account -a --bus --json --timeout" ;;
    "call list") local choices="-h --help --account -a --bus --json --timeout" ;;
    "call hangup") local choices="-h --help --account -a --bus --json --timeout" ;;
    "call"*) local choices="place answer list hangup" ;;
    "daemon ping") local choices="-h --help --account -a --bus --json --timeout" ;;
    "daemon"*) local choices="ping" ;;
    "event follow") local choices="-h --help --account -a --bus --json --timeout" ;;
    "event"*) local choices="follow" ;;
    "completion bash") local choices="-h --help --account -a --bus --json --timeout" ;;
    "completion"*) local choices="bash" ;;
    *) local choices="account name contact conversation presence message file call daemon event completion -h --help --version --account -a --bus --json --timeout" ;;
  esac
  local current=${COMP_WORDS[COMP_CWORD]}
  if [ -n "$skip" ]; then COMPREPLY=($(compgen -f -- "$current"))
  elif [ "${#words[@]}" -ge 2 ] && [ "${current#-}" = "$current" ]; then COMPREPLY=($(compgen -f -- "$current"))
  else COMPREPLY=($(compgen -W "$choices" -- "$current"))
  fi
}
complete -F _jami jami
