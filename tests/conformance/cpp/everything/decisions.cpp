#include "../../../coverage/decisions.cpp"
