//! The library that our tools, agents and other programs link: dialling, credential loaders, typed calls, watch.
