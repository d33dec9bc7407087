#include "../../../coverage/other.cpp"
