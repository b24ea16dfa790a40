complete --keep-order --exclusive --command git-agent --arguments "(GIT_AGENT_COMPLETE=fish git-agent -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"

complete --command git --condition __fish_git_needs_command --arguments agent --description 'Let coding agents work on the repository'
complete --command git --condition '__fish_git_using_command agent' --no-files --arguments '(__fish_git_complete_custom_command agent)'
